"""The brief's world (§ 2–4): four models of 2024 with flat supplier rates, at the platform's own
prices. Every figure of the brief is asserted in it; the product sells other models at other rates.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.money import MicroCredits, Tokens, parse_usd
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.costs import Costs
from core.pricing.prices import Price, PriceBook
from core.pricing.rates import Rate, Rates

#: The one that sees pictures: by tiles, 85 tokens and 170 for each.
OPENAI = Route("openai", "gpt-4", pictures="openai-tiles-85-170")
ANTHROPIC = Route("anthropic", "claude-3")
CLOUDFLARE = Route("cloudflare", "@cf/meta/llama-3-8b-instruct")
WHISPER = Route("openai", "whisper-1")

GPT_4 = Model(
    id="gpt-4",
    name="GPT-4 Turbo",
    maker="OpenAI",
    context=Tokens(8_192),
    answer_limit=Tokens(2_000),
    thinking=False,
    features=("high_performance", "fast"),
    routes=(OPENAI,),
    tokenizer="cl100k",
    aliases=("gpt4", "gpt-4-turbo"),
)
CLAUDE_3 = Model(
    id="claude-3",
    name="Claude 3",
    maker="Anthropic",
    context=Tokens(200_000),
    answer_limit=Tokens(2_000),
    thinking=False,
    features=("long_context",),
    routes=(ANTHROPIC,),
    aliases=("claude",),
)
LLAMA_3 = Model(
    id="llama-3",
    name="Llama 3",
    maker="Meta",
    context=Tokens(8_192),
    answer_limit=Tokens(2_000),
    thinking=False,
    features=("cheap", "open_weights"),
    routes=(CLOUDFLARE,),
    aliases=("llama",),
)

WHISPER_1 = Model(
    id="whisper-1",
    name="Whisper",
    maker="OpenAI",
    context=Tokens(0),
    answer_limit=Tokens(2_000),
    thinking=False,
    features=(),
    routes=(WHISPER,),
    per="second",
)

#: Credits per 1,000 tokens, as the brief's admin set them: 5, 4 and 1.
PRICES = {"gpt-4": 5_000, "claude-3": 4_000, "llama-3": 1_000}

#: 2 Credits a minute: a whole number of micro-Credits per second, so that a minute is never 3.
WHISPER_PRICE = Price(
    id="prc_whisper",
    model="whisper-1",
    per="second",
    input_rate=MicroCredits(2_000_000 // 60),
    output_rate=MicroCredits(2_000_000 // 60),
    effective_at=0,
    set_by="admin",
)


def flat(dollars_per_1k: str) -> Rates:
    """One rate for every token, from dollars per 1,000 of them."""
    rate = Rate(parse_usd(dollars_per_1k).units)
    return Rates(input=rate, output=rate, cached=rate, cache_written=rate)


def catalogue() -> Catalogue:
    """The brief's three chat models, and the one that hears."""
    return Catalogue((GPT_4, CLAUDE_3, LLAMA_3, WHISPER_1))


def costs() -> Costs:
    """The brief's supplier rates, and no others: $0.03, $0.025, $0.005 per 1K; $0.006 a minute."""
    audio = Rates(
        Rate(0), Rate(0), Rate(0), Rate(0), second=Rate(parse_usd("0.0001").units * 1_000)
    )
    return Costs(
        {
            OPENAI: flat("0.03"),
            ANTHROPIC: flat("0.025"),
            CLOUDFLARE: flat("0.005"),
            WHISPER: audio,
        }
    )


async def set_prices(book: PriceBook, prices: Mapping[str, int] = PRICES) -> None:
    """Sets the brief's sample price list, as its admin did."""
    for model, rate in prices.items():
        await book.set_price(model, MicroCredits(rate), MicroCredits(rate), set_by="admin")
    rate_per_second = WHISPER_PRICE.input_rate
    await book.set_price(
        "whisper-1", rate_per_second, rate_per_second, set_by="admin", per="second"
    )

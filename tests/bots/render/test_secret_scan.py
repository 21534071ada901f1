"""Pasted secrets are recognised by shape, and ordinary text is left alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import string
import uuid

import pytest

from bots.render.secret_scan import (
    FoundSecret,
    find_first_secret,
    find_secrets,
    mask_secrets,
)

CHANCE = random.Random(7)


def chars(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(CHANCE.choices(alphabet, k=count - 2)) + "A7"


SECRETS = [
    ("openai", "sk-" + chars(48)),
    ("openai", "sk-proj-" + chars(70) + "_" + chars(40)),
    ("openai", "sk-svcacct-" + chars(60)),
    ("anthropic", "sk-ant-api03-" + chars(93) + "-" + chars(6)),
    ("openrouter", "sk-or-v1-" + chars(64, "0123456789abcdef")[:-2] + "a7"),
    ("google", "AIza" + chars(35)),
    ("google", "AQ." + chars(50)),
    ("xai", "xai-" + chars(80)),
    ("groq", "gsk_" + chars(52)),
    ("cloudflare", "cfut_" + chars(45)),
    ("huggingface", "hf_" + chars(34)),
    ("cerebras", "csk-" + chars(48)),
    ("perplexity", "pplx-" + chars(48)),
    ("nvidia", "nvapi-" + chars(64)),
    ("telegram", "123456789:AA" + chars(33)),
    ("stripe", "sk_live_" + chars(24)),
    ("stripe", "rk_live_" + chars(24)),
    ("stripe", "whsec_" + chars(32)),
    ("github", "ghp_" + chars(36)),
    ("github", "github_pat_" + chars(82)),
    ("aws", "AKIA" + chars(16, string.ascii_uppercase + string.digits)),
    ("creditbot", "cbk_" + chars(36)),
    ("slack", "xoxb-" + chars(24) + "-" + chars(24)),
]
AROUND = [
    "{}",
    "here is my key {} thanks",
    "OPENAI_API_KEY={}\n",
    '"{}",',
    "密钥：{}。",
    "`{}`",
    "https://x.example/?key={}&y=1",
    "bot {}:",
]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("kind", "secret"), SECRETS)
def test_each_shape_is_found_wherever_it_stands(kind: str, secret: str, around: str) -> None:
    text = around.format(secret)
    (found,) = find_secrets(text)
    assert found.kind == kind
    assert text[found.start : found.end] == secret
    assert secret not in mask_secrets(text)
    assert secret not in repr(found)


def test_several_are_found_in_order() -> None:
    text = " and ".join(secret for _, secret in SECRETS)
    assert [text[each.start : each.end] for each in find_secrets(text)] == [s for _, s in SECRETS]


def test_private_keys_even_when_the_paste_was_cut() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"
    assert find_secrets(f"see\n{key}\nok") == [FoundSecret("private-key", 4, 4 + len(key))]
    cut = "-----BEGIN PRIVATE KEY-----\nMIIEow"
    assert find_secrets(cut) == [FoundSecret("private-key", 0, len(cut))]


def test_an_old_cloudflare_token_only_beside_its_name() -> None:
    token = chars(40)
    assert find_secrets(f"token {token}") == []
    (found,) = find_secrets(f"my Cloudflare API token: {token}")
    assert found.kind == "cloudflare"
    assert find_secrets(f"cloudflare commit {hashlib.sha1(b'x').hexdigest()}") == []


@pytest.mark.parametrize(
    "text",
    [
        "why is the sky blue?",
        "the task-force met; risk-averse sk-learn users ask-about-everything-you-ever-wanted",
        "use sk-learn or sk-based-pipelines-for-classification-of-things",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-... and sk-proj-… are how keys begin",
        "export OPENAI_API_KEY=sk-your-key-here",
        str(uuid.UUID(int=CHANCE.getrandbits(128))),
        "commit " + hashlib.sha1(b"a").hexdigest() + " " + hashlib.sha256(b"b").hexdigest(),
        "data:image/png;base64," + base64.b64encode(CHANCE.randbytes(3000)).decode(),
        "/redeem " + chars(16, string.ascii_uppercase + string.digits),
        "ASIAN AKIAH hf_model cfut_ xai-grok gsk_ nvapi- 12:30 at 123456:AAA",
        "AQ.js and AIzaak; PRIVATE KEY is a phrase; -----BEGIN CERTIFICATE-----",
        "www.mask-and-desk-lamps-for-everyone-in-the-world.example",
        "disk-ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdef",
    ],
)
def test_ordinary_text_holds_none(text: str) -> None:
    assert find_secrets(text) == []


def test_a_picture_in_base64_holds_none_whatever_its_bytes() -> None:
    for seed in range(40):
        data = base64.b64encode(random.Random(seed).randbytes(20_000)).decode()
        assert find_secrets(data) == []


@pytest.mark.parametrize("at", [0, 32_000, 32_740, 32_768, 32_769, 33_270, 60_000, 99_000])
async def test_in_a_long_text_the_first_secret_is_found_wherever_it_stands(at: int) -> None:
    key = "sk-proj-" + "aB3dE5gH7jK9mN1pQ2rS" * 3
    text = "word " * 20_000
    long = f"{text[:at]} {key} {text[at:]}"
    found = await find_first_secret(long)
    assert found is not None
    assert (found.kind, found.start) == ("openai", at + 1)
    # Where a part begins is no beginning of a word.
    assert await find_first_secret(f"{text[:at]} task-{key[:10]}{text[at:]}") is None


async def test_a_secret_longer_than_a_part_is_found() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvAIBADANBgkq\n" * 5_000
    found = await find_first_secret("word " * 6_550 + pem)
    assert found is not None
    assert (found.kind, found.start) == ("private-key", 32_750)


async def test_others_have_their_turn_while_a_long_text_is_scanned() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    assert await find_first_secret("asia " * 200_000) is None
    counting.cancel()
    assert turns >= 1_000_000 // 32_768

"""`/contribute`: a key is asked for in private, validated, valued in Credits, and serves after one
tap. Never a currency: a contributor reads Credits alone. What suppliers' terms say of it is told in
one sentence each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache
from pydantic import SecretStr

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import (
    Choice,
    FormField,
    FormRequest,
    Phrase,
    Reply,
    ReplyStream,
    plain,
    say,
    say_count,
)
from bots.commands.arguments import make_usage_error, shorten
from bots.commands.errors import UsageError
from bots.commands.text import format_credits, join_names
from core import ids
from core.clock import Clock
from core.earnings.contributions import Contributions
from core.earnings.types import Contribution, ContributionProposal, EarningPolicy, ProposalGone
from core.earnings.valuation import AverageRequest, Valuation
from core.money import Credits, NanoUsd
from core.pool.pool import Pool
from core.pool.suppliers import Supplier, guess_suppliers
from core.pool.types import UnrecognizedKey
from core.pricing.catalogue import Catalogue

#: For how many Credits a key may be used whose worth nobody can check.
CREDITS_OFFERED: Final = (1_000, 5_000, 25_000, 75_000)
#: A key whose supplier isn't known waits so long for its contributor's word, in memory.
_PENDING_SECONDS: Final = 600.0
_PENDING_MAX: Final = 1_000
_MODELS_NAMED: Final = 5

KEY_FIELD = FormField("key", say("API key"))
ACCOUNT_FIELD = FormField(
    "account",
    say("Account ID"),
    say("32 characters, 0–9 and a–f"),
    min_length=32,
    max_length=32,
    hidden=False,
)
_SUPPLIER_CHARS_MAX = 24
_HOW = say("Write it like this: /contribute, or with a supplier: {known}. Nothing was sent.")


@dataclass(frozen=True, slots=True)
class ContributeArguments(Arguments):
    """What follows `/contribute`."""

    supplier: str = argument(say("Whose key it is"), say("supplier"), completion="contributable")


class ContributeCommands:
    """The commands by which a key is contributed, from the first word to the tap that lets it
    serve."""

    def __init__(
        self,
        *,
        contributions: Contributions,
        pool: Pool,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._contributions, self._pool = contributions, pool
        self._catalogue, self._clock = catalogue, clock
        #: Keys that may be of several suppliers, until their contributors say whose they are.
        self._pending: TTLCache[str, tuple[str, SecretStr]] = TTLCache(
            maxsize=_PENDING_MAX, ttl=_PENDING_SECONDS, timer=clock.monotonic
        )

    @property
    def _policy(self) -> EarningPolicy:
        return self._contributions.policy

    def suggest_contributable(self, typed: str) -> list[tuple[str, Phrase]]:
        """Suppliers whose keys are taken."""
        return [
            (one.name, plain(one.title))
            for one in self._list_suppliers()
            if typed.strip().casefold() in f"{one.name} {one.title.casefold()}"
        ]

    # --- the key --------------------------------------------------------------------------------

    @command(
        "contribute",
        title=say("Contribute"),
        description=say("Earn Credits with an API key of your own"),
        arguments=ContributeArguments,
        opens_form=True,
        pausable="contributions",
    )
    @action("contribute", pausable="contributions")
    async def contribute(
        self, request: Request, given: ContributeArguments = ContributeArguments()
    ) -> FormRequest:
        """Asks for the key, in private."""
        del request
        named = given.supplier.casefold()
        suppliers = self._list_suppliers()
        if named:
            known = {word: one for one in suppliers for word in (one.name, one.title.casefold())}
            if named not in known:
                names = join_names(one.name for one in suppliers)
                how = Phrase(_HOW.text, {"known": names})
                if len(named) > _SUPPLIER_CHARS_MAX:  # perhaps a key: it isn't shown again
                    raise UsageError(how)
                wrong = say("“{typed}” is no supplier whose keys are taken.", typed=shorten(named))
                raise make_usage_error(wrong, how)
            suppliers = [known[named]]
        if len(suppliers) == 1:
            return _make_key_form(suppliers[0])
        titles = join_names(one.title for one in suppliers)
        return FormRequest(
            title=say("Contribute your API key"),
            lines=(
                say("It serves others' questions, and you earn Credits as it does."),
                say("Taken: {suppliers}.", suppliers=titles),
                say("At first it is only checked: you see what it is worth, then decide."),
            ),
            fields=(KEY_FIELD,),
            action="contribute-key",
        )

    @action("contribute-key", pausable="contributions")
    async def contribute_key(self, request: Request) -> Reply | FormRequest | ReplyStream:
        """The key was typed: whose it is, then what it is worth."""
        secret = request.entered["key"]
        named = str(request.data.get("supplier", ""))
        if named:
            account = request.entered.get("account", SecretStr("")).get_secret_value()
            return ReplyStream(self._validate_key(request, named, secret, account))
        takes = {one.name: one for one in self._list_suppliers()}
        names = guess_suppliers(secret.get_secret_value(), takes)
        if not names:
            raise UnrecognizedKey(tuple(one.title for one in takes.values()))
        pending = ids.new_id("pnd", self._clock.now_ms())
        if len(names) > 1 or takes[names[0]].wire == "cloudflare":
            self._pending[pending] = (request.person.id, secret)
        if len(names) > 1:
            return Reply(
                title=say("Whose key is it?"),
                lines=(
                    say(
                        "Several suppliers have keys like that. It hasn't been sent to any"
                        " of them yet."
                    ),
                ),
                choices=tuple(
                    (
                        Choice(
                            plain(takes[name].title),
                            "contribute-whose",
                            {"pending": pending, "supplier": name},
                        ),
                    )
                    for name in names
                ),
                private=True,
            )
        if takes[names[0]].wire == "cloudflare":
            return _make_account_form(takes[names[0]], pending)
        return ReplyStream(self._validate_key(request, names[0], secret, ""))

    @action("contribute-whose", pausable="contributions")
    async def contribute_whose(self, request: Request) -> Reply | FormRequest | ReplyStream:
        """Its contributor said which supplier's key it is, or what else it needs."""
        pending, name = str(request.data["pending"]), str(request.data["supplier"])
        pending_key = self._pending.get(pending)
        if pending_key is None or pending_key[0] != request.person.id:
            raise ProposalGone
        account = request.entered.get("account", SecretStr("")).get_secret_value()
        supplier = self._pool.get_supplier(name)
        if supplier.wire == "cloudflare" and not account:
            return _make_account_form(supplier, pending)
        return ReplyStream(self._validate_key(request, name, pending_key[1], account))

    async def _validate_key(
        self, request: Request, supplier: str, secret: SecretStr, account: str
    ) -> AsyncGenerator[Reply, None]:
        title = self._pool.get_supplier(supplier).title
        yield Reply(
            lines=(say("🔎 Asking {supplier} what this key is good for…", supplier=title),),
            private=True,
            passing=True,
        )
        offer = await self._contributions.create_proposal(request.person, supplier, secret, account)
        yield self._proposal_card(offer)

    # --- the offer ------------------------------------------------------------------------------

    def _proposal_card(self, offer: ContributionProposal) -> Reply:
        if offer.valuation is not None:
            return self._terms_card(offer, offer.valuation, is_verified=True)
        choices = []
        for net in CREDITS_OFFERED:
            valuation = offer.average.find_min_quota(Credits(net))
            if valuation.quota <= self._policy.quota_max:
                label = say_count(
                    "{credits} (≈ {count} request)",
                    "{credits} (≈ {count} requests)",
                    valuation.requests,
                    credits=format_credits(Credits(net)),
                )
                data: dict[str, str | int] = {"key": offer.key, "net": net}
                choices.append((Choice(label, "contribute-amount", data),))
        return Reply(
            title=say("✅ Verified!"),
            lines=(
                self._models_line(offer),
                say(
                    "{supplier} doesn't say what is left on a key. For how many Credits may it"
                    " be used? You can change that later.",
                    supplier=self._pool.get_supplier(offer.supplier).title,
                ),
            ),
            choices=(*choices, (self._decline_choice(offer),)),
            private=True,
        )

    @action("contribute-amount")
    async def contribute_amount(self, request: Request) -> Reply:
        """For how many Credits it may be used."""
        offer = await self._contributions.get_proposal(str(request.data["key"]), request.person)
        valuation = offer.average.find_min_quota(Credits(int(request.data["net"])))
        return self._terms_card(offer, valuation, is_verified=False)

    def _terms_card(
        self, offer: ContributionProposal, valuation: Valuation, *, is_verified: bool
    ) -> Reply:
        supplier = self._pool.get_supplier(offer.supplier)
        data: dict[str, str | int] = {"key": offer.key, "quota": str(valuation.quota.units)}
        return Reply(
            title=say("✅ Verified!"),
            lines=(
                self._models_line(offer),
                say(
                    "Estimated value: {credits} (after 10 % fee)",
                    credits=format_credits(_round_estimate(valuation.net)),
                ),
                say_count("≈ {count} request", "≈ {count} requests", valuation.requests),
                self._spendable_line(valuation.net, is_verified=is_verified),
                self._withdrawable_line(),
                describe_supplier_terms(supplier.name, supplier.title),
                say(
                    "By contributing you agree that other people's questions are answered with"
                    " this key up to that value, that you may see them in your own account if"
                    " your supplier keeps them, and that what it wasn't used for is taken back"
                    " when it ends."
                ),
            ),
            choices=(
                (Choice(say("Contribute"), "contribute-now", data, once=True),),
                (self._decline_choice(offer),),
            ),
            private=True,
            replace=True,
        )

    def _spendable_line(self, net: Credits, *, is_verified: bool) -> Phrase:
        policy = self._policy
        at_once = (
            net.share_down(policy.advance_percent, 100)
            if is_verified
            else min(net, policy.advance_unverified)
        )
        if at_once == net:
            return say("You can spend all of it at once.")
        if at_once.is_zero:
            return say("You can spend it as others use the key.")
        return say(
            "You can spend up to {credits} at once, the rest as others use the key.",
            credits=format_credits(at_once),
        )

    def _withdrawable_line(self) -> Phrase:
        days = self._policy.payout_hold_days
        if not days:
            return say("What others paid for can be withdrawn: /withdraw")
        return say_count(
            "What others paid for can be withdrawn {count} day after it was earned: /withdraw",
            "What others paid for can be withdrawn {count} days after it was earned: /withdraw",
            days,
        )

    def _models_line(self, offer: ContributionProposal) -> Phrase:
        names = [
            model.name
            for model in self._catalogue.models.values()
            if any(
                route.provider == offer.supplier and route.model in offer.models
                for route in model.routes
            )
        ]
        listed = join_names(names[:_MODELS_NAMED])
        more = len(names) - _MODELS_NAMED
        if more > 0:
            return say_count(
                "{supplier} …{tail} works for {models} and {count} more model",
                "{supplier} …{tail} works for {models} and {count} more models",
                more,
                supplier=self._pool.get_supplier(offer.supplier).title,
                tail=offer.tail,
                models=listed,
            )
        return say(
            "{supplier} …{tail} works for {models}",
            supplier=self._pool.get_supplier(offer.supplier).title,
            tail=offer.tail,
            models=listed,
        )

    @staticmethod
    def _decline_choice(offer: ContributionProposal) -> Choice:
        return Choice(say("No, thanks"), "contribute-drop", {"key": offer.key}, once=True)

    @action("contribute-now", pausable="contributions")
    async def contribute_now(self, request: Request) -> Reply:
        """Agreed: it serves from now on."""
        quota = NanoUsd(int(request.data["quota"]))
        contribution = await self._contributions.accept_proposal(
            str(request.data["key"]), request.person, quota
        )
        return Reply(
            title=say("🎉 Thank you!"),
            lines=(
                say(
                    "{supplier} …{tail} serves others from now on.",
                    supplier=self._pool.get_supplier(contribution.supplier).title,
                    tail=contribution.tail,
                ),
                describe_contribution_value(contribution),
                say("Watch it earn, pause it or take it back: /keys"),
            ),
            choices=((Choice(say("My keys"), "keys"), Choice(say("Balance"), "balance")),),
            private=True,
            replace=True,
        )

    @action("contribute-drop")
    async def contribute_drop(self, request: Request) -> Reply:
        """Not agreed: nothing of it is kept."""
        await self._contributions.decline_proposal(str(request.data["key"]), request.person)
        return Reply(
            (say("All right. The key was erased; nothing of it is kept."),),
            private=True,
            replace=True,
        )

    def _list_suppliers(self) -> list[Supplier]:
        named = self._policy.suppliers
        return [one for name, one in self._pool.suppliers.items() if name in named]


def describe_contribution_value(contribution: Contribution) -> Phrase:
    """What a contribution is worth to its contributor."""
    return say(
        "It earns you {credits} as it is used; you can spend {usable} of them right away.",
        credits=format_credits(contribution.credited),
        usable=contribution.advance,
    )


def describe_request_count(average: AverageRequest | None, credits: Credits) -> Phrase:  # noqa: A002
    """How many average requests so many Credits are."""
    count = 0 if average is None else average.count_requests(credits)
    return say_count("≈ {count} request", "≈ {count} requests", count)


def _make_key_form(supplier: Supplier) -> FormRequest:
    return FormRequest(
        title=say("Contribute your API key"),
        lines=(
            say("It serves others' questions, and you earn Credits as it does."),
            say("At first it is only checked: you see what it is worth, then decide."),
        ),
        fields=(KEY_FIELD, ACCOUNT_FIELD) if supplier.wire == "cloudflare" else (KEY_FIELD,),
        action="contribute-key",
        data={"supplier": supplier.name},
    )


def _make_account_form(supplier: Supplier, pending: str) -> FormRequest:
    return FormRequest(
        title=say("A key of {supplier}", supplier=supplier.title),
        lines=(say("It needs the account that it belongs to."),),
        fields=(ACCOUNT_FIELD,),
        action="contribute-whose",
        data={"pending": pending, "supplier": supplier.name},
    )


def _round_estimate(credits: Credits) -> Credits:  # noqa: A002
    """An estimate, to three digits: 74,997 → 75,000. Only what is shown is rounded, the ledger
    never."""
    scale = 1
    while credits.units >= 1_000 * scale:
        scale *= 10
    return Credits((credits.units + scale // 2) // scale * scale)


_SUPPLIER_TERMS = {
    "openai": say(
        "OpenAI's terms forbid buying, selling or transferring API keys: it may close your"
        " account for this."
    ),
    "anthropic": say(
        "Anthropic's terms forbid reselling without its approval, and you answer for your keys: it"
        " may close your account for this."
    ),
    "google": say(
        "Google binds keys to your own project and blocks keys that it finds shared: it may block"
        " this one."
    ),
    "xai": say(
        "xAI's terms allow internal use only, no sharing or resale: it may close your account for"
        " this."
    ),
    "groq": say(
        "Groq's terms let an app serve its users, but don't allow shared keys: it may close"
        " your account for this."
    ),
    "cohere": say(
        "Cohere's terms forbid giving keys to others without its consent: it may close your"
        " account for this."
    ),
}


def describe_supplier_terms(supplier: str, title: str) -> Phrase:
    """What a supplier's terms say of sharing a key, as far as we read them."""
    return _SUPPLIER_TERMS.get(
        supplier,
        say(
            "{supplier}'s terms on sharing keys are not known to us: read them first. Most make you"
            " answer for what is asked with your key.",
            supplier=title,
        ),
    )

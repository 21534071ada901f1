"""`/contribute`: a key is asked for in private, validated, valued in Credits, and serves after one
tap. Never a currency: a contributor reads Credits alone. What suppliers' terms say of it is told in
one sentence each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from pydantic import SecretStr

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Blank, Choice, Prompt, Reply, Said, Steps, plain, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import in_credits
from core import ids
from core.clock import Clock
from core.earnings.contributions import Contributions
from core.earnings.types import Contribution, Offer, OfferGone, Policy
from core.earnings.valuation import Average, Worth
from core.money import Credits, NanoUsd
from core.pool.pool import Pool
from core.pool.suppliers import Supplier, guessed
from core.pool.types import NotItsKey
from core.pricing.catalogue import Catalogue
from core.users.ttl_cache import Recent

#: For how many Credits a key may be used whose worth nobody can check.
AMOUNTS: Final = (1_000, 5_000, 25_000, 75_000)
#: A key whose supplier isn't known waits so long for its contributor's word, in memory.
_PENDING_SECONDS: Final = 600.0
_PENDING_MAX: Final = 1_000
_MODELS_NAMED: Final = 5

KEY = Blank("key", say("API key"))
ACCOUNT = Blank(
    "account", say("Account ID"), say("32 characters, 0–9 and a–f"), least=32, most=32, hidden=False
)
_HOW = say("Write it like this: /contribute, or with a supplier: {known}. Nothing was sent.")


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
        self._pending: Recent[str, tuple[str, SecretStr]] = Recent(
            clock, seconds=_PENDING_SECONDS, most=_PENDING_MAX
        )

    @property
    def _policy(self) -> Policy:
        return self._contributions.policy

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "contribute",
                    title=say("Contribute"),
                    does=say("Earn Credits with an API key of your own"),
                    usage=say("/contribute [supplier]"),
                    options=(
                        Option("supplier", say("Whose key it is"), completes="contributable"),
                    ),
                    handler=self.contribute,
                    prompts=True,
                    pausable="contributions",
                ),
            ),
            actions=(
                Action("contribute", self.contribute, pausable="contributions"),
                Action("contribute-key", self.key, pausable="contributions"),
                Action("contribute-whose", self.whose, pausable="contributions"),
                Action("contribute-amount", self.amount),
                Action("contribute-now", self.now, pausable="contributions"),
                Action("contribute-drop", self.drop),
            ),
        )

    def suggestions(self, typed: str) -> list[tuple[str, Said]]:
        """Suppliers whose keys are taken."""
        return [
            (one.name, plain(one.title))
            for one in self._suppliers()
            if typed.strip().casefold() in f"{one.name} {one.title.casefold()}"
        ]

    # --- the key --------------------------------------------------------------------------------

    async def contribute(self, request: Request) -> Prompt:
        """Asks for the key, in private."""
        named = request.text.strip().casefold()
        suppliers = self._suppliers()
        if named:
            known = {word: one for one in suppliers for word in (one.name, one.title.casefold())}
            if named not in known:
                names = ", ".join(one.name for one in suppliers)
                raise NotUnderstood(Said(_HOW.text, {"known": names}))
            suppliers = [known[named]]
        if len(suppliers) == 1:
            return _asked(suppliers[0])
        titles = ", ".join(one.title for one in suppliers)
        return Prompt(
            title=say("Contribute your API key"),
            lines=(
                say("It serves others' questions, and you earn Credits as it does."),
                say("Taken: {suppliers}.", suppliers=titles),
                say("First it is only checked; you see what it is worth, and decide."),
            ),
            blanks=(KEY,),
            action="contribute-key",
        )

    async def key(self, request: Request) -> Reply | Prompt | Steps:
        """The key was typed: whose it is, then what it is worth."""
        secret = request.entered["key"]
        named = str(request.data.get("supplier", ""))
        if named:
            account = request.entered.get("account", SecretStr("")).get_secret_value()
            return Steps(self._examined(request, named, secret, account))
        takes = {one.name: one for one in self._suppliers()}
        names = guessed(secret.get_secret_value(), takes)
        if not names:
            raise NotItsKey(tuple(one.title for one in takes.values()))
        pending = ids.new("pnd", self._clock.now_ms())
        if len(names) > 1 or takes[names[0]].wire == "cloudflare":
            self._pending.put(pending, (request.person.id, secret))
        if len(names) > 1:
            return Reply(
                title=say("Whose key is it?"),
                lines=(say("Several suppliers' keys look like that. It was sent to nobody yet."),),
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
            return _account_asked(takes[names[0]], pending)
        return Steps(self._examined(request, names[0], secret, ""))

    async def whose(self, request: Request) -> Reply | Prompt | Steps:
        """Its contributor said which supplier's key it is, or what else it needs."""
        pending, name = str(request.data["pending"]), str(request.data["supplier"])
        kept = self._pending.get(pending)
        if kept is None or kept[0] != request.person.id:
            raise OfferGone
        account = request.entered.get("account", SecretStr("")).get_secret_value()
        supplier = self._pool.supplier(name)
        if supplier.wire == "cloudflare" and not account:
            return _account_asked(supplier, pending)
        return Steps(self._examined(request, name, kept[1], account))

    async def _examined(
        self, request: Request, supplier: str, secret: SecretStr, account: str
    ) -> AsyncGenerator[Reply, None]:
        title = self._pool.supplier(supplier).title
        yield Reply(
            lines=(say("🔎 Asking {supplier} what this key is good for…", supplier=title),),
            private=True,
            passing=True,
        )
        offer = await self._contributions.examine(request.person, supplier, secret, account)
        yield self._offered(offer)

    # --- the offer ------------------------------------------------------------------------------

    def _offered(self, offer: Offer) -> Reply:
        if offer.worth is not None:
            return self._card(offer, offer.worth, verified=True)
        choices = []
        for net in AMOUNTS:
            worth = offer.average.for_net(Credits(net))
            if worth.quota <= self._policy.quota_most:
                label = say(
                    "{credits} (≈ {count} requests)",
                    credits=in_credits(Credits(net)),
                    count=worth.requests,
                )
                data: dict[str, str | int] = {"key": offer.key, "net": net}
                choices.append((Choice(label, "contribute-amount", data),))
        return Reply(
            title=say("✅ Verified!"),
            lines=(
                self._serves(offer),
                say(
                    "{supplier} doesn't tell what is left behind a key. For how many Credits may it"
                    " be used? You can change that later.",
                    supplier=self._pool.supplier(offer.supplier).title,
                ),
            ),
            choices=(*choices, (self._no(offer),)),
            private=True,
        )

    async def amount(self, request: Request) -> Reply:
        """For how many Credits it may be used."""
        offer = await self._contributions.offer(str(request.data["key"]), request.person)
        worth = offer.average.for_net(Credits(int(request.data["net"])))
        return self._card(offer, worth, verified=False)

    def _card(self, offer: Offer, worth: Worth, *, verified: bool) -> Reply:
        supplier = self._pool.supplier(offer.supplier)
        data: dict[str, str | int] = {"key": offer.key, "quota": str(worth.quota.units)}
        return Reply(
            title=say("✅ Verified!"),
            lines=(
                self._serves(offer),
                say(
                    "Estimated value: {credits} (after 10 % fee)",
                    credits=in_credits(_rounded(worth.net)),
                ),
                say("≈ {count} requests", count=worth.requests),
                self._usable(worth.net, verified=verified),
                self._withdrawable(),
                terms_of(supplier.name, supplier.title),
                say(
                    "By contributing you agree that strangers' questions are answered with this key"
                    " up to that worth, that you see them in your account there if your supplier"
                    " keeps them, and that what it wasn't used for is taken back when it ends."
                ),
            ),
            choices=(
                (Choice(say("Contribute"), "contribute-now", data, once=True),),
                (self._no(offer),),
            ),
            private=True,
            replace=True,
        )

    def _usable(self, net: Credits, *, verified: bool) -> Said:
        policy = self._policy
        now = (
            net.share_down(policy.advance_percent, 100)
            if verified
            else min(net, policy.advance_unverified)
        )
        if now == net:
            return say("You can spend all of it at once.")
        if now.is_zero:
            return say("You can spend it as others use the key.")
        return say(
            "You can spend up to {credits} at once, the rest as others use the key.",
            credits=in_credits(now),
        )

    def _withdrawable(self) -> Said:
        days = self._policy.payout_hold_days
        if not days:
            return say("What others paid for can be withdrawn: /withdraw")
        return say(
            "What others paid for can be withdrawn {days} days after it was earned: /withdraw",
            days=days,
        )

    def _serves(self, offer: Offer) -> Said:
        names = [
            model.name
            for model in self._catalogue.models.values()
            if any(
                route.provider == offer.supplier and route.model in offer.models
                for route in model.routes
            )
        ]
        listed = ", ".join(names[:_MODELS_NAMED])
        more = len(names) - _MODELS_NAMED
        if more > 0:
            return say(
                "{supplier} …{tail} works for {models} and {more} more models",
                supplier=self._pool.supplier(offer.supplier).title,
                tail=offer.tail,
                models=listed,
                more=more,
            )
        return say(
            "{supplier} …{tail} works for {models}",
            supplier=self._pool.supplier(offer.supplier).title,
            tail=offer.tail,
            models=listed,
        )

    @staticmethod
    def _no(offer: Offer) -> Choice:
        return Choice(say("No, thanks"), "contribute-drop", {"key": offer.key}, once=True)

    async def now(self, request: Request) -> Reply:
        """Agreed: it serves from now on."""
        quota = NanoUsd(int(request.data["quota"]))
        one = await self._contributions.open(str(request.data["key"]), request.person, quota)
        return Reply(
            title=say("🎉 Thank you!"),
            lines=(
                say(
                    "{supplier} …{tail} serves others from now on.",
                    supplier=self._pool.supplier(one.supplier).title,
                    tail=one.tail,
                ),
                credited(one),
                say("Watch it earn, pause it or take it back: /keys"),
            ),
            choices=((Choice(say("My keys"), "keys"), Choice(say("Balance"), "balance")),),
            private=True,
            replace=True,
        )

    async def drop(self, request: Request) -> Reply:
        """Not agreed: nothing of it is kept."""
        await self._contributions.drop(str(request.data["key"]), request.person)
        return Reply(
            (say("Then not. The key was erased; nothing of it is kept."),),
            private=True,
            replace=True,
        )

    def _suppliers(self) -> list[Supplier]:
        named = self._policy.suppliers
        return [one for name, one in self._pool.suppliers.items() if name in named]


def credited(one: Contribution) -> Said:
    """What a contribution is worth to its contributor."""
    return say(
        "It is worth {credits} to you as it is used; {usable} of them you can spend already.",
        credits=in_credits(one.credited),
        usable=one.advance,
    )


def answers(average: Average | None, credits: Credits) -> Said:  # noqa: A002
    """How many average requests so many Credits are."""
    count = 0 if average is None else average.answers(credits)
    return say("≈ {count} requests", count=count)


def _asked(supplier: Supplier) -> Prompt:
    return Prompt(
        title=say("Contribute your API key"),
        lines=(
            say("It serves others' questions, and you earn Credits as it does."),
            say("First it is only checked; you see what it is worth, and decide."),
        ),
        blanks=(KEY, ACCOUNT) if supplier.wire == "cloudflare" else (KEY,),
        action="contribute-key",
        data={"supplier": supplier.name},
    )


def _account_asked(supplier: Supplier, pending: str) -> Prompt:
    return Prompt(
        title=say("A key of {supplier}", supplier=supplier.title),
        lines=(say("It needs the account that it belongs to."),),
        blanks=(ACCOUNT,),
        action="contribute-whose",
        data={"pending": pending, "supplier": supplier.name},
    )


def _rounded(credits: Credits) -> Credits:  # noqa: A002
    """An estimate, to three digits: 74,997 → 75,000. Only what is shown is rounded, the ledger
    never."""
    scale = 1
    while credits.units >= 1_000 * scale:
        scale *= 10
    return Credits((credits.units + scale // 2) // scale * scale)


_TERMS = {
    "openai": say(
        "OpenAI's terms forbid to buy, sell or transfer API keys: it may close your account for"
        " this."
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
        "Groq's terms let an app serve its users, but say nothing for shared keys: it may close"
        " your account for this."
    ),
    "cohere": say(
        "Cohere's terms forbid to give keys to others without its consent: it may close your"
        " account for this."
    ),
}


def terms_of(supplier: str, title: str) -> Said:
    """What a supplier's terms say of sharing a key, as far as we read them."""
    return _TERMS.get(
        supplier,
        say(
            "{supplier}'s terms on sharing keys are not known to us: read them first. Most make you"
            " answer for what is asked with your key.",
            supplier=title,
        ),
    )

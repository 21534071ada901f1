"""The whole service in the brief's world, on a real database, with its supplier on loopback.

Tests talk to it as adapters do: messages and presses in, screens and answers out.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import SecretStr

from bots.app import App, OwnKey, Plan, build
from bots.chat.types import (
    Answer,
    AnswerProgress,
    AudioAttachment,
    ButtonPress,
    Card,
    IncomingMessage,
    Output,
    Place,
    Sender,
)
from bots.commands.topup import PaymentTerms
from core import chart
from core.asks.audit import audit_asks
from core.clock import Clock
from core.db.database import Database
from core.earnings.audit import audit_earnings
from core.earnings.types import SAFE_POLICY, EarningPolicy
from core.ledger.audit import check_ledger
from core.money import Credits, NanoUsd, parse_usd
from core.pool.suppliers import SUPPLIERS
from core.pricing.costs import Costs
from core.users.types import Person, WelcomeGift
from payments.gateways.base import Gateway
from payments.offer import Offer
from tests import brief
from tests.fakes.suppliers import FakeSupplier

MASTER_KEY = bytes(range(32))
KEYS = ("sk-good-first-000000001", "sk-good-second-00000002")
ADMINS = [("telegram", "1"), ("discord", "1")]


@dataclass
class Service:
    """A running service and the chat of one person, `telegram:7`."""

    app: App
    openai: FakeSupplier
    clock: Clock
    place: Place = field(default_factory=lambda: Place("telegram", "7"))
    sender: str = "7"
    language: str = "en"
    #: Whether a guard is off, so that the audits find what they have to find.
    farmed: bool = False
    _messages: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def someone(self, sender: str, language: str = "en") -> Service:
        """Another person's private chat."""
        return replace(self, place=Place("telegram", sender), sender=sender, language=language)

    def incoming(
        self,
        text: str,
        *,
        message: str = "",
        place: Place | None = None,
        audio: AudioAttachment | None = None,
    ) -> IncomingMessage:
        return IncomingMessage(
            place=place or self.place,
            sender=Sender(self.sender, self.language),
            message=message or str(next(self._messages)),
            at_ms=self.clock.now_ms(),
            text=text,
            audio=audio,
            may_fill_form=(place or self.place).private,
        )

    async def says(
        self,
        text: str,
        *,
        message: str = "",
        audio: AudioAttachment | None = None,
        replies_to: str = "",
    ) -> list[Output]:
        """Everything that is shown for a message; answers are told to have landed."""
        incoming = self.incoming(text, message=message, audio=audio)
        incoming = replace(incoming, replies_to=replies_to)
        return await self._shown(self.app.front.handle_message(incoming))

    async def presses(self, button: str, *, message: str = "900") -> list[Output]:
        press = ButtonPress(self.place, Sender(self.sender, self.language), button, message)
        return await self._shown(self.app.front.handle_press(press))

    async def _shown(self, outputs: AsyncIterator[Output]) -> list[Output]:
        shown = []
        async for output in outputs:
            shown.append(output)
            if isinstance(output, Answer):
                await self.app.front.mark_delivered(output.ask, self.place, self.shown_in(output))
        return shown

    @staticmethod
    def shown_in(answer: Answer) -> list[str]:
        """The two messages that an answer is."""
        return [f"begun-{answer.ask}", f"shown-{answer.ask}"]

    async def screen(self, text: str) -> Card:
        """The one card that answers a command."""
        shown = await self.says(text)
        assert len(shown) == 1, shown
        assert isinstance(shown[0], Card), shown
        return shown[0]

    async def answer(self, text: str, *, replies_to: str = "") -> Answer:
        """The final answer to a question."""
        shown = await self.says(text, replies_to=replies_to)
        assert isinstance(shown[-1], Answer), shown
        assert all(isinstance(output, AnswerProgress) for output in shown[:-1])
        return shown[-1]

    async def person(self) -> Person:
        return await self.app.people.get_or_create("telegram", self.sender, language=self.language)

    async def credits(self) -> Credits:
        """What they can spend now."""
        person = await self.person()
        balances = await self.app.ledger.read_balances(chart.pockets(person.id))
        return Credits(sum(balance.available for balance in balances.values()))

    async def held(self) -> Credits:
        person = await self.person()
        balances = await self.app.ledger.read_balances(chart.pockets(person.id))
        return Credits(sum(balance.held for balance in balances.values()))

    async def spent(self, model: str = "gpt-4") -> Credits:
        account = chart.spent(model)
        return Credits(
            (await self.app.ledger.read_balances([account]))[account.code].credits_posted
        )

    async def key_left(self, number: int = 0) -> NanoUsd:
        """What an own key can still pay; the first is number 0."""
        cards = await self.app.pool.list_keys()
        return cards[number].headroom

    async def findings(self) -> list[str]:
        """What the audits of ledger, asks and referrals find."""
        found, asks = await check_ledger(self.app.store), await audit_asks(self.app.store)
        return [*found.findings, *asks.findings, *await audit_earnings(self.app.store)]


@contextlib.asynccontextmanager
async def running(
    url: str,
    clock: Clock,
    *,
    welcome: int = 1_000,
    welcomes_a_day: int = 1_000_000,
    budget: str = "500",
    keys: int = 1,
    supplier: FakeSupplier | None = None,
    gateways: Mapping[str, Gateway] | None = None,
    terms: PaymentTerms | None = None,
    policy: EarningPolicy = SAFE_POLICY,
    costs: Costs | None = None,
    offer: Offer | None = None,
    master_keys: Sequence[bytes] = (MASTER_KEY,),
) -> AsyncIterator[Service]:
    """The service in the brief's world; leaves only with both audits clean."""
    async with contextlib.AsyncExitStack() as stack:
        openai = supplier or await stack.enter_async_context(
            FakeSupplier("openai", models=["gpt-4", "whisper-1"], strict=False)
        )
        openai.allow(*KEYS)
        catalogue, costs = brief.catalogue(), costs or brief.costs()
        app = await build(
            Plan(
                master_keys=master_keys,
                admins=ADMINS,
                welcome=WelcomeGift(Credits(welcome), welcomes_a_day),
                suppliers={
                    # One that tells what an account can still pay, as the brief's does.
                    "openai": replace(
                        SUPPLIERS["openai"],
                        base_url=openai.url,
                        account_api="deepseek",
                        account_url=f"{openai.url}/user/balance",
                    )
                },
                own_keys=[
                    OwnKey("openai", SecretStr(key), parse_usd(budget)) for key in KEYS[:keys]
                ],
                gateways=gateways or {},
                terms=terms or PaymentTerms(),
                offer=offer or Offer(),
                policy=policy,
            ),
            store=await Database.open(url, kind="live", clock=clock),
            clock=clock,
            catalogue=catalogue,
            costs=costs,
        )
        await app.start()
        try:
            await brief.set_prices(app.prices)
            await app.pool.wait_for_first_check(5)
            service = Service(app, openai, clock)
            yield service
            findings = await service.findings()
            assert bool(findings) is service.farmed, findings
        finally:
            await app.stop(grace_seconds=2.0)

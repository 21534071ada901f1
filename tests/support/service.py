"""The whole service in the brief's world, on a real database, with its supplier on loopback.

Tests talk to it as adapters do: messages and presses in, screens and answers out.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bots.app import App, build
from bots.chat.attachments import SentAttachment
from bots.chat.audio import AudioAttachment
from bots.chat.types import (
    Answer,
    AnswerProgress,
    ButtonPress,
    Card,
    IncomingMessage,
    Output,
    Place,
    Sender,
)
from bots.chat.update_inbox import UpdateInbox
from bots.commands.terms import PaymentTerms
from bots.config.settings import ModelsConfig
from core import chart
from core.admin.audit import audit_books
from core.clock import Clock
from core.db.database import Database
from core.earnings.types import SAFE_POLICY, EarningPolicy
from core.money import Credits, NanoUsd
from core.pool.suppliers import Supplier
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.users.types import Person
from payments.gateways.base import Gateway
from payments.offer import Offer
from tests.peers.picture_counts import openai_tiles
from tests.peers.suppliers import FakeSupplier
from tests.support import brief
from tests.support.config import MANY_KEYS, MASTER_KEY, make_config, make_externals, telling_openai


@dataclass(frozen=True)
class World:
    """Other models than the brief's, at their own costs and prices, of one supplier."""

    catalogue: Catalogue
    costs: Costs
    suppliers: Mapping[str, Supplier]
    history_tokens: int


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
    #: Whether they write without a pause, so that their budget counts.
    is_hasty: bool = False
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
        attachments: Sequence[SentAttachment] = (),
    ) -> IncomingMessage:
        return IncomingMessage(
            place=place or self.place,
            sender=Sender(self.sender, self.language),
            message=message or str(next(self._messages)),
            at_ms=self.clock.now_ms(),
            text=text,
            audio=audio,
            attachments=tuple(attachments),
            may_fill_form=(place or self.place).private,
        )

    async def says(
        self,
        text: str,
        *,
        message: str = "",
        audio: AudioAttachment | None = None,
        attachments: Sequence[SentAttachment] = (),
        place: Place | None = None,
        replies_to: str = "",
    ) -> list[Output]:
        """Everything that is shown for a message; answers are told to have landed."""
        incoming = self.incoming(
            text, message=message, audio=audio, attachments=attachments, place=place
        )
        incoming = replace(incoming, replies_to=replies_to)
        return await self._shown(self.app.chat.dispatcher.handle_message(incoming), incoming.place)

    async def presses(self, button: str, *, message: str = "900") -> list[Output]:
        press = ButtonPress(self.place, Sender(self.sender, self.language), button, message)
        return await self._shown(self.app.chat.dispatcher.handle_press(press), self.place)

    async def _shown(self, outputs: AsyncIterator[Output], place: Place) -> list[Output]:
        shown = []
        if not self.is_hasty:  # the clock stands still: nobody is held back by it
            self.app.chat.dispatcher.work_budget._accounts.clear()
        async for output in outputs:
            shown.append(output)
            if isinstance(output, Answer):
                await self.app.chat.dispatcher.mark_delivered(
                    output.ask, place, self.shown_in(output)
                )
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

    async def gives_role(self, who: str, role: str) -> Card:
        """An owner gives a role, or takes it away, by two taps; who has which then."""
        asked = await self.screen(f"/role {who} {role}")
        (confirm,) = (one for row in asked.buttons for one in row if "Yes" in one.label)
        shown = (await self.presses(confirm.id))[-1]
        assert isinstance(shown, Card), shown
        return shown

    async def answer(
        self,
        text: str,
        *,
        replies_to: str = "",
        attachments: Sequence[SentAttachment] = (),
        place: Place | None = None,
    ) -> Answer:
        """The final answer to a question."""
        shown = await self.says(text, replies_to=replies_to, attachments=attachments, place=place)
        assert isinstance(shown[-1], Answer), shown
        assert all(isinstance(output, AnswerProgress) for output in shown[:-1])
        return shown[-1]

    async def person(self) -> Person:
        return await self.app.services.users.users.get_or_create(
            "telegram", self.sender, language=self.language
        )

    def open_inbox(self, process_id: str) -> UpdateInbox:
        """The inbox of another process on the same database."""
        base = self.app.services.base
        return UpdateInbox(
            ledger=base.ledger, vault=self.app.services.pool.vault, process_id=process_id
        )

    async def credits(self) -> Credits:
        """What they can spend now."""
        person = await self.person()
        balances = await self.app.services.base.ledger.read_balances(chart.pockets(person.id))
        return Credits(sum(balance.available for balance in balances.values()))

    async def held(self) -> Credits:
        person = await self.person()
        balances = await self.app.services.base.ledger.read_balances(chart.pockets(person.id))
        return Credits(sum(balance.held for balance in balances.values()))

    async def spent(self, model: str = "gpt-4") -> Credits:
        account = chart.spent(model)
        return Credits(
            (await self.app.services.base.ledger.read_balances([account]))[
                account.code
            ].credits_posted
        )

    async def key_left(self, number: int = 0) -> NanoUsd:
        """What an own key can still pay; the first is number 0."""
        cards = await self.app.services.pool.pool.list_keys()
        return cards[number].headroom

    async def findings(self) -> list[str]:
        """What all audits find."""
        base = self.app.services.base
        return list((await audit_books(base.db, base.payment_records)).findings)


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
    catalogue: Catalogue | None = None,
    offer: Offer | None = None,
    prices: Mapping[str, int] = brief.PRICES,
    master_keys: Sequence[bytes] = (MASTER_KEY,),
    world: World | None = None,
    api: bool = False,
) -> AsyncIterator[Service]:
    """The service in the brief's world or another; leaves only with both audits clean."""
    async with contextlib.AsyncExitStack() as stack:
        openai = supplier or await stack.enter_async_context(
            FakeSupplier("openai", models=["gpt-4", "whisper-1"], strict=False)
        )
        openai.allow(*MANY_KEYS)
        openai.picture_counts.setdefault("gpt-4", partial(openai_tiles, base=85, tile=170))
        catalogue, costs = catalogue or brief.catalogue(), costs or brief.costs()
        suppliers = telling_openai(openai.url)
        if world is not None:
            catalogue, costs, suppliers = world.catalogue, world.costs, world.suppliers
        config = make_config(
            welcome=welcome,
            welcomes_a_day=welcomes_a_day,
            terms=terms,
            policy=policy,
            offer=offer,
            master_keys=master_keys,
            api=api,
        )
        if world is not None:
            models = ModelsConfig(history_tokens=world.history_tokens)
            config = config.model_copy(update={"models": models})
        app = await build(
            config,
            db=await Database.open(url, kind="live", clock=clock),
            clock=clock,
            externals=make_externals(
                suppliers,
                catalogue=catalogue,
                costs=costs,
                keys=MANY_KEYS[:keys],
                budget=budget,
                gateways=gateways,
            ),
        )
        await app.start()
        try:
            if world is None:
                await brief.set_prices(app.services.pricing.prices, prices)
            await app.services.pool.pool.wait_for_first_check(5)
            service = Service(app, openai, clock)
            yield service
            findings = await service.findings()
            assert bool(findings) is service.farmed, findings
        finally:
            await app.stop(grace_seconds=2.0)

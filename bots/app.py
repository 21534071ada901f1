"""A whole service: its services, its chat, and what it does by itself; `start` and `stop` are its
life. Nothing here starts at import.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from bots import services as graph
from bots.chat.callbacks import ButtonRepository
from bots.chat.forms import Forms
from bots.chat.types import Notifier
from bots.chat.update_inbox import RECOVERY_SECONDS, RENEWAL_SECONDS, UpdateInbox
from bots.chat.update_intake import UpdateIntake
from bots.chat.update_policy import UpdatePolicy
from bots.commands.answers import AnswerRenderer
from bots.commands.spending_notes import SpendingNotes
from bots.config.settings import Config, SupplierConfig, name_supplier_setting
from bots.dispatcher import Dispatcher
from bots.externals import Externals, SettingRefused
from bots.notifications import AnswerRedelivery, NotificationSender
from bots.platform_payments import StarsPayments, StorePurchases
from bots.readiness import PlatformStates, Readiness
from bots.register import build_commands, build_seller
from bots.render.queue import ConversationQueue
from bots.services import Services
from core.admin.broadcasts import ROUND_SECONDS
from core.clock import Clock, as_utc_day
from core.db.database import Database
from core.jobs.notifications import NotificationQueue
from core.jobs.scheduler import Job, Scheduler, create_registration_job, unregister_process
from core.ledger.daily_closings import close_days
from core.ledger.types import LedgerRefusal
from core.pool.types import PoolRefusal
from payments.gateways.discord_store import DiscordStoreGateway
from payments.gateways.telegram_stars import TelegramStarsGateway

#: Running answers may finish this long after a stop was asked for.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Chat:
    """What front ends speak to, and what speaks to people by itself."""

    dispatcher: Dispatcher
    buttons: ButtonRepository
    forms: Forms
    notifications: NotificationQueue
    redelivery: AnswerRedelivery
    update_inbox: UpdateInbox
    update_policy: UpdatePolicy
    readiness: Readiness
    #: What front ends do about their platform's own payments, where those are sold by.
    stars: StarsPayments | None
    store_purchases: StorePurchases | None

    def create_intake(self) -> UpdateIntake:
        """What a front end hands its updates to."""
        return UpdateIntake(self.update_policy, self.update_inbox)


@dataclass(frozen=True, slots=True)
class App:
    """A whole service, wired: started and stopped as one."""

    services: Services
    chat: Chat
    scheduler: Scheduler

    async def start(self) -> None:
        """Loads prices and keys, adopts the settings' keys, begins to serve."""
        services = self.services
        await services.users.roles.load()
        await services.users.limits.load()
        await services.repricing.load()
        await services.pricing.prices.start()
        await services.pricing.deals.load()
        for supplier, own in services.externals.own_keys:
            await _adopt_key(services, supplier, own)
        await services.pool.pool.start()
        await services.repricing.cost_watch.check_price_lists()
        await services.asks.asks.start()
        await services.payments.inbox.start()
        await self.scheduler.run_job_once(_registration_job(services))
        await self.scheduler.start()
        release_memory()

    async def stop(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ends cleanly: no new asks, running ones finish or settle, what was accepted is
        written."""
        services, base = self.services, self.services.base
        await services.asks.asks.stop(grace_seconds=grace_seconds)
        await self.scheduler.stop()
        await services.payments.inbox.stop()
        for gateway in services.payments.gateways.values():
            await gateway.close()
        await services.earnings.payouts.close()
        await services.asks.file_reader.close()
        await services.pool.pool.stop()
        with suppress(LedgerRefusal):  # their leases end by themselves
            await self.chat.update_inbox.release()
        with suppress(LedgerRefusal):  # it is known soon enough
            await unregister_process(base.ledger, _registration_job(services))
        await base.ledger.stop()
        await base.db.close()


async def _adopt_key(services: Services, supplier: str, own: SupplierConfig) -> None:
    """Takes a key of the settings; raises `SettingRefused`, so that its operator finds it."""
    try:
        await services.pool.pool.upsert_own_key(
            supplier, own.key, own.quota, account_id=own.account
        )
    except PoolRefusal as refusal:
        raise SettingRefused(name_supplier_setting(supplier, "KEY"), refusal) from None


async def build(config: Config, *, db: Database, clock: Clock, externals: Externals) -> App:
    """Makes everything on an open database; starts the ledger's writer, since the vault needs
    it."""
    services = await graph.build(config, db=db, clock=clock, externals=externals)
    chat = _build_chat(services)
    return App(
        services=services,
        chat=chat,
        scheduler=Scheduler(
            ledger=services.base.ledger,
            process_id=services.base.process_id,
            jobs=tuple(_list_jobs(services, chat)),
        ),
    )


def _build_chat(services: Services) -> Chat:
    base, payments = services.base, services.payments
    ledger = base.ledger
    #: Front ends that reach people by themselves, by platform, as they start.
    notifiers: dict[str, Notifier] = {}
    buttons = ButtonRepository(ledger=ledger)
    forms = Forms(ledger=ledger, buttons=buttons)
    commands = build_commands(services, buttons=buttons, forms=forms, notifiers=notifiers)
    answers = AnswerRenderer(
        ask_service=services.asks.asks,
        ask_repository=services.asks.repository,
        ask_reversal=services.asks.reversal,
        catalogue=services.pricing.catalogue,
        conversation_queue=ConversationQueue(),
        spending_notes=SpendingNotes(services.asks.history, services.pricing.deals),
    )
    sender = NotificationSender(
        users=services.users,
        payments=payments,
        buttons=buttons,
        broadcasts=services.admin.broadcasts,
        notifiers=notifiers,
        operator_cards=commands.operator_cards,
        seller=build_seller(base.config),
    )
    dispatcher = Dispatcher(
        users=services.users,
        registry=commands.registry,
        buttons=buttons,
        forms=forms,
        answer_renderer=answers,
        clock=base.clock,
        hear_time=ledger.hear_time,
    )
    return Chat(
        dispatcher=dispatcher,
        buttons=buttons,
        forms=forms,
        notifications=NotificationQueue(
            ledger=ledger,
            deliver=sender.send_notification,
            list_operators=services.users.roles.list_operators,
        ),
        redelivery=AnswerRedelivery(
            ask_repository=services.asks.repository,
            users=services.users.users,
            answer_renderer=answers,
            notifiers=notifiers,
        ),
        update_inbox=UpdateInbox(
            ledger=ledger, vault=services.pool.vault, process_id=base.process_id
        ),
        update_policy=UpdatePolicy(commands.registry, forms, dispatcher.work_budget),
        readiness=Readiness(ledger, PlatformStates(services.admin.alerts)),
        stars=_build_stars(services),
        store_purchases=_build_store_purchases(services),
    )


def _build_stars(services: Services) -> StarsPayments | None:
    payments = services.payments
    gateway = payments.gateways.get("stars")
    if not isinstance(gateway, TelegramStarsGateway):
        return None
    return StarsPayments(
        gateway=gateway,
        orders=payments.orders,
        inbox=payments.inbox,
        users=services.users.users,
        clock=services.base.clock,
    )


def _build_store_purchases(services: Services) -> StorePurchases | None:
    gateway = services.payments.gateways.get("skus")
    if not isinstance(gateway, DiscordStoreGateway):
        return None
    return StorePurchases(gateway=gateway, inbox=services.payments.inbox, clock=services.base.clock)


def _registration_job(services: Services) -> Job:
    """Tells other processes with which master keys this one runs."""
    return create_registration_job(services.pool.vault.master_key_ids)


def _list_jobs(services: Services, chat: Chat) -> Iterator[Job]:
    """What happens without a request."""
    base, users, admin = services.base, services.users, services.admin

    async def compare_models() -> None:
        """A custom address may list models that have no price yet."""
        await services.pool.pool.check_models()
        await services.pricing.prices.refresh(at_most_seconds=0)

    async def close_yesterday() -> None:
        today = as_utc_day(base.clock.now_ms())
        await close_days(base.db, base.ledger, base.clock, today)

    every = {"on_every_process": True}
    yield Job("sweep asks", 5.0, services.asks.recovery.recover_lapsed_asks, **every)
    yield Job("land answers", 5.0, chat.redelivery.redeliver_answers, **every)
    yield Job("read keys again", 5.0, services.pool.pool.reload, **every)
    yield Job("pass on rests of links", 10.0, services.links.forward_merged_balances)
    yield Job("repay what is owed", 60.0, users.debts.repay_all)
    yield Job("tell everybody", ROUND_SECONDS, admin.broadcasts.queue_next)
    yield Job("sweep what erased people left", 60.0, admin.erasure.forfeit_leftovers)
    yield Job("read owners again", 60.0, users.roles.load, **every)
    yield Job("read rules again", 5.0, users.limits.load, **every)
    yield Job("read offers again", 5.0, services.pricing.deals.load, **every)
    yield Job("compare models", 300.0, compare_models, **every)
    yield _registration_job(services)
    inbox = chat.update_inbox
    yield Job("keep updates", RENEWAL_SECONDS, inbox.renew_leases, **every)
    yield Job("work left updates", RECOVERY_SECONDS, inbox.work_left_updates, **every)
    yield Job("forget updates", 3_600.0, inbox.delete_old)
    yield Job("forget buttons", 3_600.0, chat.buttons.delete_expired_buttons)
    yield Job("forget texts of files", 600.0, services.asks.file_repository.delete_expired)
    yield Job("forget replies", 3_600.0, services.api.replies.delete_expired)
    yield Job("forget days of tokens", 3_600.0, services.api.tokens.delete_old_days)
    yield Job("forget prompts", 3_600.0, chat.forms.delete_expired_forms)
    yield Job("look out here", 30.0, admin.monitor.check_process, **every)
    platforms = chat.readiness.platform_states
    yield Job("look out for platforms", 30.0, platforms.check_platforms, **every)
    yield Job("look out", 600.0, admin.monitor.check_service)
    yield Job("audit", 43_200.0, admin.monitor.audit_ledger)
    yield Job("close days", 3_600.0, close_yesterday)
    yield from _list_payment_jobs(services, chat)
    yield from _list_earning_jobs(services)
    yield from _list_price_jobs(services)


def _list_payment_jobs(services: Services, chat: Chat) -> Iterator[Job]:
    yield Job("tell notices", 2.0, chat.notifications.deliver_due, on_every_process=True)
    payments = services.payments
    if not payments.is_trading:
        return
    reconcile = payments.reconciliation.reconcile_orders
    yield Job("reconcile payments", 120.0, reconcile, runs_at_start=True)
    yield Job("end cancellations", 60.0, payments.cancellations.finish_pending)
    yield Job("compare movements", 21_600.0, payments.reconciliation.compare_with_books)
    yield Job("forget movements", 3_600.0, payments.movements.delete_old)
    yield Job("hold for disputes", 15.0, payments.disputes.hold_returned_credits)
    yield Job("forget webhooks", 3_600.0, payments.inbox.delete_old_messages)
    if chat.stars is not None:
        yield Job(
            "know open orders",
            10.0,
            chat.stars.refresh_open_orders,
            on_every_process=True,
            runs_at_start=True,
        )


def _list_earning_jobs(services: Services) -> Iterator[Job]:
    earnings = services.earnings
    yield Job("end contributions", 15.0, earnings.termination.process_terminations)
    yield Job("forget offers of keys", 600.0, earnings.contributions.delete_expired_proposals)
    yield Job("send payouts", 10.0, earnings.payouts.process_due_payouts)


def _list_price_jobs(services: Services) -> Iterator[Job]:
    """No price moves by any of it but those that an admin lets."""
    repricing = services.repricing

    async def fetch_lists() -> None:
        await repricing.source.fetch_data()
        await repricing.cost_watch.check_price_lists()

    yield Job("read costs again", 30.0, repricing.load, on_every_process=True)
    yield Job("look at suppliers' lists", 300.0, repricing.cost_watch.check_price_lists)
    yield Job("watch absorbed changes", 300.0, repricing.cost_watch.check_absorbed_changes)
    yield Job("compare bills with lists", 3_600.0, repricing.cost_watch.compare_bills)
    yield Job("tell what ends", 3_600.0, repricing.model_ends.announce_ends, runs_at_start=True)
    yield Job("measure demand", 3_600.0, repricing.demand.measure_demand)
    yield Job("reprice", 3_600.0, repricing.automatic_pricing.reprice_models)
    if repricing.source.may_fetch:
        yield Job(
            "fetch suppliers' lists",
            3_600.0,
            fetch_lists,
            on_every_process=True,
            runs_at_start=True,
        )


#: Of so many objects more than went the collector looks which nobody can reach: among hundreds of
#: asks in flight it finds little each time.
_COLLECTED_AFTER = 5_000


def release_memory() -> None:
    """Asks glibc to return freed pages: reading the price package leaves about 20 MB of them.

    What is left (modules, catalogue, prices) lives as long as the process; the collector no longer
    walks it, for each walk stops every answer for tens of milliseconds. Elsewhere than on Linux
    with glibc nothing is returned.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER)
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

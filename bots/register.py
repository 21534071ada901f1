"""Every room of commands, wired: the order here is the order of the menus."""

from __future__ import annotations

from bots.chat.callbacks import Buttons
from bots.chat.forms import Prompts
from bots.chat.registry import Registry
from bots.commands.account import AccountCommands
from bots.commands.admin.alerts import AlertCommands
from bots.commands.admin.broadcast import BroadcastCommands
from bots.commands.admin.grant import AdminCommands
from bots.commands.admin.limits import GoverningCommands
from bots.commands.admin.pool import PoolCommands
from bots.commands.admin.promotions import PromotionCommands
from bots.commands.admin.report import ReportCommands
from bots.commands.admin.tiers import TierCommands
from bots.commands.admin.users import UserCommands
from bots.commands.ask import AskCommands
from bots.commands.erase import LeaveCommands
from bots.commands.export import ExportCommands
from bots.commands.link import LinkCommands
from bots.commands.models import Choosing
from bots.commands.start import StartCommands
from bots.commands.voice import VoiceCommands
from bots.economy import economy_of
from bots.sandbox.crowd import Crowd
from bots.services import Parts
from core.admin.advice import Adviser
from core.admin.user_search import Dossiers
from core.asks.repository import Journal
from core.asks.service import Asking


def rooms(parts: Parts, asking: Asking, buttons: Buttons, prompts: Prompts) -> Registry:
    """Every room of commands, in the order of the menus."""
    choosing = Choosing(
        catalogue=parts.catalogue,
        prices=parts.prices,
        deals=parts.deals,
        pool=parts.pool,
        people=parts.people,
        purses=parts.purses,
        default_model=parts.plan.default_model,
    )
    start = StartCommands(
        people=parts.people,
        purses=parts.purses,
        choosing=choosing,
        owners=parts.owners,
        invitations=parts.shop.invitations if parts.shop.rewards else None,
        commands=lambda: registry.commands,
    )
    ask = AskCommands(
        asking=asking,
        records=parts.records,
        conversations=parts.conversations,
        catalogue=parts.catalogue,
        choosing=choosing,
    )
    admin = AdminCommands(
        store=parts.store,
        ledger=parts.ledger,
        people=parts.people,
        clock=parts.clock,
    )
    pool = PoolCommands(pool=parts.pool, closing=parts.earning.closing, clock=parts.clock)
    contribute = parts.earning.contribute(parts.catalogue)
    registry = Registry(
        [
            start.first(),
            ask.room(),
            VoiceCommands(asking=asking, pool=parts.pool, catalogue=parts.catalogue).room(),
            choosing.room(),
            _account(parts, choosing).room(),
            TierCommands(deals=parts.deals, people=parts.people, clock=parts.clock).room(),
            _export(parts).room(),
            LeaveCommands(erasing=parts.erasing, clock=parts.clock).room(),
            *parts.shop.rooms(choosing),
            *parts.earning.rooms(contribute, parts.people),
            start.room(),
            _linking(parts, buttons).room(),
            *parts.desk.rooms(),
            admin.room(),
            _report(parts).room(),
            _users(parts).room(),
            _governing(parts).room(),
            _promotions(parts).room(),
            AlertCommands(alerts=parts.alerts, clock=parts.clock).room(),
            BroadcastCommands(broadcasts=parts.broadcasts, clock=parts.clock).room(),
            pool.room(),
            *((_crowd(parts, asking).room(),) if parts.plan.crowd else ()),
            prompts.room(),
        ],
        suggesters={
            "model": choosing.suggestions,
            "supplier": pool.suggestions,
            "contributable": contribute.suggestions,
        },
    )
    return registry


def _promotions(parts: Parts) -> PromotionCommands:
    return PromotionCommands(
        deals=parts.deals,
        codes=parts.shop.codes,
        catalogue=parts.catalogue,
        prices=parts.prices,
        store=parts.store,
        clock=parts.clock,
    )


def _report(parts: Parts) -> ReportCommands:
    return ReportCommands(
        store=parts.store,
        pool=parts.pool,
        catalogue=parts.catalogue,
        prices=parts.prices,
        adviser=Adviser(
            store=parts.store,
            catalogue=parts.catalogue,
            costs=parts.costs,
            prices=parts.prices,
        ),
        clock=parts.clock,
        setprice=parts.desk.setting().setprice,
        economy=lambda: economy_of(parts.plan, parts.store, parts.clock.now_ms()),
    )


def _governing(parts: Parts) -> GoverningCommands:
    return GoverningCommands(
        rules=parts.rules, owners=parts.owners, people=parts.people, clock=parts.clock
    )


def _users(parts: Parts) -> UserCommands:
    return UserCommands(
        dossiers=Dossiers(
            store=parts.store,
            ledger=parts.ledger,
            people=parts.people,
            invitations=parts.shop.invitations,
            contributions=parts.earning.contributions,
        ),
        people=parts.people,
        owners=parts.owners,
        rules=parts.rules,
        ledger=parts.ledger,
        erasing=parts.erasing,
        exporting=_export(parts),
        deals=parts.deals,
        journal=Journal(parts.store),
        clock=parts.clock,
    )


def _linking(parts: Parts, buttons: Buttons) -> LinkCommands:
    return LinkCommands(
        links=parts.links,
        people=parts.people,
        buttons=buttons,
        deliverers=parts.deliverers,
        rules=parts.rules,
    )


def _export(parts: Parts) -> ExportCommands:
    return ExportCommands(
        ledger=parts.ledger,
        purses=parts.purses,
        journal=Journal(parts.store),
        people=parts.people,
        orders=parts.shop.cashier.orders,
        contributions=parts.earning.contributions,
        withdrawals=parts.earning.withdrawals,
    )


def _crowd(parts: Parts, asking: Asking) -> Crowd:
    return Crowd(
        people=parts.people,
        cashier=parts.shop.cashier,
        asking=asking,
        pool=parts.pool,
        catalogue=parts.catalogue,
        prices=parts.prices,
    )


def _account(parts: Parts, choosing: Choosing) -> AccountCommands:
    return AccountCommands(
        purses=parts.purses,
        journal=Journal(parts.store),
        people=parts.people,
        catalogue=parts.catalogue,
        choosing=choosing,
        deals=parts.deals,
        clock=parts.clock,
        sells=bool(parts.plan.gateways),
    )

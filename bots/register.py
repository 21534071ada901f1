"""Every room of commands, wired: the order here is the order of the menus."""

from __future__ import annotations

from bots.chat.callbacks import ButtonRepository
from bots.chat.forms import Forms
from bots.chat.registry import CommandRegistry
from bots.commands.account import AccountCommands
from bots.commands.admin.alerts import AlertCommands
from bots.commands.admin.broadcast import BroadcastCommands
from bots.commands.admin.grant import GrantCommands
from bots.commands.admin.limits import LimitCommands
from bots.commands.admin.pool import PoolCommands
from bots.commands.admin.promotions import PromotionCommands
from bots.commands.admin.report import ReportCommands
from bots.commands.admin.tiers import TierCommands
from bots.commands.admin.users import UserCommands
from bots.commands.ask import AskCommands
from bots.commands.erase import EraseCommands
from bots.commands.export import ExportCommands
from bots.commands.link import LinkCommands
from bots.commands.models import ModelCommands
from bots.commands.start import StartCommands
from bots.commands.voice import VoiceCommands
from bots.economy import economy_of
from bots.sandbox.crowd import CrowdCommands
from bots.services import Parts
from core.admin.advice import Advisor
from core.admin.user_search import UserSearch
from core.asks.repository import AskHistory
from core.asks.service import AskService


def rooms(
    parts: Parts, asking: AskService, buttons: ButtonRepository, prompts: Forms
) -> CommandRegistry:
    """Every room of commands, in the order of the menus."""
    choosing = ModelCommands(
        catalogue=parts.catalogue,
        prices=parts.prices,
        deals=parts.deals,
        pool=parts.pool,
        users=parts.people,
        balances=parts.purses,
        default_model=parts.plan.default_model,
    )
    start = StartCommands(
        users=parts.people,
        balances=parts.purses,
        model_commands=choosing,
        roles=parts.owners,
        referrals=parts.shop.invitations if parts.shop.rewards else None,
        commands=lambda: registry.commands,
    )
    ask = AskCommands(
        ask_service=asking,
        ask_repository=parts.records,
        conversations=parts.conversations,
        catalogue=parts.catalogue,
        model_commands=choosing,
    )
    admin = GrantCommands(
        db=parts.store,
        ledger=parts.ledger,
        users=parts.people,
        clock=parts.clock,
    )
    pool = PoolCommands(pool=parts.pool, termination=parts.earning.closing, clock=parts.clock)
    contribute = parts.earning.contribute(parts.catalogue)
    registry = CommandRegistry(
        [
            start.first(),
            ask.room(),
            VoiceCommands(ask_service=asking, pool=parts.pool, catalogue=parts.catalogue).room(),
            choosing.room(),
            _account(parts, choosing).room(),
            TierCommands(deals=parts.deals, users=parts.people, clock=parts.clock).room(),
            _export(parts).room(),
            EraseCommands(erasure=parts.erasing, clock=parts.clock).room(),
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
            "model": choosing.suggest_models,
            "supplier": pool.suggest_suppliers,
            "contributable": contribute.suggest_contributable,
        },
    )
    return registry


def _promotions(parts: Parts) -> PromotionCommands:
    return PromotionCommands(
        deals=parts.deals,
        vouchers=parts.shop.codes,
        catalogue=parts.catalogue,
        prices=parts.prices,
        db=parts.store,
        clock=parts.clock,
    )


def _report(parts: Parts) -> ReportCommands:
    return ReportCommands(
        db=parts.store,
        pool=parts.pool,
        catalogue=parts.catalogue,
        prices=parts.prices,
        advisor=Advisor(
            db=parts.store,
            catalogue=parts.catalogue,
            costs=parts.costs,
            prices=parts.prices,
        ),
        clock=parts.clock,
        setprice=parts.desk.setting().setprice,
        economy=lambda: economy_of(parts.plan, parts.store, parts.clock.now_ms()),
    )


def _governing(parts: Parts) -> LimitCommands:
    return LimitCommands(
        user_limits=parts.rules, roles=parts.owners, users=parts.people, clock=parts.clock
    )


def _users(parts: Parts) -> UserCommands:
    return UserCommands(
        user_search=UserSearch(
            db=parts.store,
            ledger=parts.ledger,
            users=parts.people,
            referrals=parts.shop.invitations,
            contributions=parts.earning.contributions,
        ),
        users=parts.people,
        roles=parts.owners,
        user_limits=parts.rules,
        ledger=parts.ledger,
        erasure=parts.erasing,
        export_commands=_export(parts),
        deals=parts.deals,
        ask_history=AskHistory(parts.store),
        clock=parts.clock,
    )


def _linking(parts: Parts, buttons: ButtonRepository) -> LinkCommands:
    return LinkCommands(
        links=parts.links,
        users=parts.people,
        buttons=buttons,
        notifiers=parts.deliverers,
        user_limits=parts.rules,
    )


def _export(parts: Parts) -> ExportCommands:
    return ExportCommands(
        ledger=parts.ledger,
        balances=parts.purses,
        ask_history=AskHistory(parts.store),
        users=parts.people,
        orders=parts.shop.cashier.orders,
        contributions=parts.earning.contributions,
        withdrawals=parts.earning.withdrawals,
    )


def _crowd(parts: Parts, asking: AskService) -> CrowdCommands:
    return CrowdCommands(
        users=parts.people,
        cashier=parts.shop.cashier,
        ask_service=asking,
        pool=parts.pool,
        catalogue=parts.catalogue,
        prices=parts.prices,
    )


def _account(parts: Parts, choosing: ModelCommands) -> AccountCommands:
    return AccountCommands(
        balances=parts.purses,
        ask_history=AskHistory(parts.store),
        users=parts.people,
        catalogue=parts.catalogue,
        model_commands=choosing,
        deals=parts.deals,
        clock=parts.clock,
        is_selling=bool(parts.plan.gateways),
    )

"""Settings and the outside world of services that tests build, from what tests speak of."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import SecretStr

from bots.commands.terms import PaymentTerms
from bots.config.settings import (
    ApiConfig,
    Config,
    EarningsConfig,
    OperatorConfig,
    SalesConfig,
    SupplierConfig,
    TelegramConfig,
    UsersConfig,
)
from bots.externals import Externals
from core.earnings.types import SAFE_POLICY, EarningPolicy
from core.money import parse_usd
from core.pool.suppliers import SUPPLIERS, Supplier
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from payments.gateways.base import Gateway
from payments.offer import Offer

MASTER_KEY = bytes(range(32))
KEYS = ("sk-good-first-000000001", "sk-good-second-00000002")
#: The same, for whoever needs more than two.
MANY_KEYS = (*KEYS, "sk-good-third-000000003")
#: More of the operator's settings; a test may set some.
OPERATOR: dict[str, str] = {}
ADMINS = (("telegram", "1"), ("discord", "1"))


def make_config(
    *,
    welcome: int = 1_000,
    welcomes_a_day: int = 1_000_000,
    terms: PaymentTerms | None = None,
    policy: EarningPolicy = SAFE_POLICY,
    offer: Offer | None = None,
    master_keys: Sequence[bytes] = (MASTER_KEY,),
    api: bool = False,
) -> Config:
    """Settings; a test's policy and offer may be what no operator could set."""
    terms, offer = terms or PaymentTerms(), offer or Offer()
    assert policy == replace(SAFE_POLICY, **_numbers(policy), suppliers=policy.suppliers)
    return Config(
        api=ApiConfig(api=api),
        operator=OperatorConfig(
            master_keys=SecretStr(",".join(base64.b64encode(key).decode() for key in master_keys)),
            admins=ADMINS,
            terms=terms.text,
            support_contact=terms.support,
            **OPERATOR,
        ),
        users=UsersConfig.model_construct(
            welcome_credits=welcome,
            welcome_people_per_day=welcomes_a_day,
            asks_per_minute=None,
            asks_at_once=None,
        ),
        telegram=TelegramConfig(external_checkout=terms.telegram_outside),
        earnings=EarningsConfig.model_construct(
            contributions=policy.suppliers,
            advance_percent=policy.advance_percent,
            advance_unverified=policy.advance_unverified.units,
            payout_hold_days=policy.payout_hold_days,
            payout_least=policy.payout_least.units,
        ),
        sales=SalesConfig.model_construct(
            packs=tuple(offer.packs),
            topup_least=offer.min_amount,
            topup_most=offer.max_amount,
            bonus_from=offer.bonus_from,
            bonus_percent=offer.bonus_percent,
            referral_percent=offer.inviter_percent,
        ),
    )


def _numbers(policy: EarningPolicy) -> dict[str, object]:
    names = ("advance_percent", "advance_unverified", "payout_hold_days", "payout_least")
    return {name: getattr(policy, name) for name in names}


def make_externals(
    suppliers: Mapping[str, Supplier],
    *,
    catalogue: Catalogue,
    costs: Costs,
    keys: Sequence[str] = KEYS[:1],
    budget: str = "500",
    gateways: Mapping[str, Gateway] | None = None,
) -> Externals:
    """A world of one supplier, with own keys of it."""
    (name,) = suppliers
    own_keys = [(name, SupplierConfig(key=SecretStr(key), quota=parse_usd(budget))) for key in keys]
    return Externals(
        catalogue=catalogue,
        costs=costs,
        suppliers=suppliers,
        own_keys=own_keys,
        gateways=gateways or {},
        payout_providers={},
        payout_methods=("manual",),
    )


def telling_openai(url: str) -> dict[str, Supplier]:
    """OpenAI at another address, which tells what an account can still pay, as the brief's does."""
    supplier = replace(
        SUPPLIERS["openai"],
        base_url=url,
        account_api="deepseek",
        account_url=f"{url}/user/balance",
    )
    return {"openai": supplier}

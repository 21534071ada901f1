"""What a service is built of, as settings or a test say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from bots.commands.topup import PaymentTerms
from core.asks.conversations import HISTORY_TOKENS_MAX
from core.earnings.payouts import PayoutMethod
from core.earnings.types import SAFE_POLICY, EarningPolicy
from core.money import NanoUsd, Tokens
from core.pool.suppliers import Supplier
from core.pricing.deals import FLOOR_PERCENT
from core.pricing.formula import MARKUP_PERCENT
from core.repricing.automatic import RepricingLimits
from core.users.limits import Allowance
from core.users.types import WelcomeGift
from payments.gateways.base import Gateway
from payments.offer import Offer
from payments.payouts import PayoutProvider


@dataclass(frozen=True, slots=True)
class OwnKey:
    """An own key from the settings."""

    supplier: str
    key: SecretStr
    budget: NanoUsd
    account: str = ""


@dataclass(frozen=True, slots=True)
class PricePlan:
    """How prices are worked out."""

    markup_percent: int = MARKUP_PERCENT
    #: Of prices that an admin lets move by themselves.
    pace: RepricingLimits = field(default_factory=RepricingLimits)
    #: Whether suppliers' lists are fetched, and from where but the package's own address.
    fetches: bool = False
    lists_url: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a service is built of, beside its database."""

    master_keys: Sequence[bytes]
    admins: Collection[tuple[str, str]]
    welcome: WelcomeGift
    suppliers: Mapping[str, Supplier]
    own_keys: Sequence[OwnKey] = ()
    default_model: str = ""
    history_tokens: Tokens = HISTORY_TOKENS_MAX
    #: Where Credits can be bought; none: they can't.
    gateways: Mapping[str, Gateway] = field(default_factory=dict)
    offer: Offer = field(default_factory=Offer)
    terms: PaymentTerms = field(default_factory=PaymentTerms)
    #: What may be contributed and cashed out.
    policy: EarningPolicy = SAFE_POLICY
    #: Which gateways can pay people; and by which ways they are paid: by hand where none of these.
    disbursers: Mapping[PayoutMethod, PayoutProvider] = field(default_factory=dict)
    methods: Sequence[PayoutMethod] = ("manual",)
    #: What everyone may ask, unless the operator says otherwise of somebody.
    usual: Allowance = field(default_factory=Allowance)
    #: Over what a supplier takes no offer lowers a price, in per cent.
    floor_percent: int = FLOOR_PERCENT
    pricing: PricePlan = field(default_factory=PricePlan)
    #: Whether there are sandbox people to buy and ask: the demo's.
    crowd: bool = False

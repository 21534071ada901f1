"""Our side of each gateway, with the settings that its peer in the tests expects.

Processes that are killed load it too, so it loads no more than it must.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from core.clock import Clock
from core.db.database import Store
from core.earnings.payout_methods import Addresses
from core.earnings.payouts import Method
from core.earnings.types import BRIEF
from core.earnings.withdrawals import Withdrawals
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.vault import Vault
from payments.gateways.base import Gateway
from payments.gateways.btcpay.checkout import BtcPay
from payments.gateways.btcpay.payouts import BtcPayPayouts
from payments.gateways.paypal.checkout import PayPal
from payments.gateways.paypal.payouts import PayPalPayouts
from payments.gateways.sandbox import Sandbox, SandboxPayouts
from payments.payouts import Disburser
from tests.fakes import btcpay, paypal, paypal_webhooks

MASTER = bytes(32)
SANDBOX_SECRET = "a-secret-of-the-sandbox"
OUR_URL = "https://bot.example"


def gateway_of(name: str, url: str, *, key: str = "") -> Gateway:
    """Ours, with the settings that the peer expects; `key`: another secret than that."""
    if name == "sandbox":
        return Sandbox(url=url, secret=SecretStr(SANDBOX_SECRET))
    if name == "paypal":
        return PayPal(
            client_id=paypal.CLIENT_ID,
            client_secret=SecretStr(key or paypal.SECRET),
            webhook_id=paypal_webhooks.WEBHOOK_ID,
            public_url=OUR_URL,
            api_url=url,
        )
    if name == "btcpay":
        return BtcPay(
            url=url,
            store_id=btcpay.STORE,
            key=SecretStr(key or btcpay.KEY),
            webhook_secret=SecretStr(btcpay.WEBHOOK_SECRET),
            return_url=f"{OUR_URL}/paid",
        )
    assert name == "stripe"
    from payments.gateways.stripe import Stripe
    from tests.fakes import stripe

    return Stripe(
        key=SecretStr(key or stripe.KEY),
        webhook_secret=SecretStr(stripe.WEBHOOK_SECRET),
        return_url=f"{OUR_URL}/paid",
        api_url=url,
    )


def disburser_of(method: Method, url: str) -> Disburser:
    """Ours, with the settings that the peer expects."""
    if method == "sandbox":
        return SandboxPayouts(url=url, secret=SecretStr(SANDBOX_SECRET))
    if method == "paypal":
        return PayPalPayouts(
            client_id=paypal.CLIENT_ID, client_secret=SecretStr(paypal.SECRET), api_url=url
        )
    return BtcPayPayouts(url=url, store_id=btcpay.STORE, key=SecretStr(btcpay.KEY))


def withdrawals_on(
    store: Store, ledger: Ledger, vault: Vault, clock: Clock
) -> tuple[Addresses, Withdrawals]:
    addresses = Addresses(store=store, ledger=ledger, vault=vault, clock=clock)
    return addresses, Withdrawals(
        store=store,
        ledger=ledger,
        addresses=addresses,
        clock=clock,
        policy=replace(BRIEF, payout_least=Credits(100)),
    )

"""Our side of each gateway, with the settings that its peer in the tests expects.

Processes that are killed load it too, so it loads no more than it must.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from core.clock import Clock
from core.db.database import Database
from core.earnings.payout_methods import PayoutMethods
from core.earnings.payouts import PayoutMethod
from core.earnings.types import BRIEF_POLICY
from core.earnings.withdrawals import Withdrawals
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.vault import Vault
from payments.gateways.base import Gateway
from payments.gateways.btcpay.checkout import BtcPayGateway
from payments.gateways.btcpay.payouts import BtcPayPayoutProvider
from payments.gateways.paypal.checkout import PayPalGateway
from payments.gateways.paypal.payouts import PayPalPayoutProvider
from payments.gateways.sandbox import SandboxGateway, SandboxPayoutProvider
from payments.payment_reader import PaymentReader
from payments.payouts import PayoutProvider
from tests.peers import btcpay, paypal, paypal_webhooks

MASTER = bytes(32)
SANDBOX_SECRET = "a-secret-of-the-sandbox"
OUR_URL = "https://bot.example"


def gateway_of(name: str, url: str, *, key: str = "", clock: Clock | None = None) -> Gateway:
    """Ours, with the settings that the peer expects; `key`: another secret than that; `clock`:
    where it isn't the wall's."""
    if name == "sandbox":
        return SandboxGateway(url=url, secret=SecretStr(SANDBOX_SECRET))
    if name == "paypal":
        return PayPalGateway(
            client_id=paypal.CLIENT_ID,
            client_secret=SecretStr(key or paypal.SECRET),
            webhook_id=paypal_webhooks.WEBHOOK_ID,
            public_url=OUR_URL,
            api_url=url,
        )
    if name == "btcpay":
        return BtcPayGateway(
            url=url,
            store_id=btcpay.STORE,
            api_key=SecretStr(key or btcpay.KEY),
            webhook_secret=SecretStr(btcpay.WEBHOOK_SECRET),
            return_url=f"{OUR_URL}/paid",
        )
    assert name == "stripe"
    from payments.gateways.stripe import StripeGateway
    from tests.peers import stripe

    return StripeGateway(
        api_key=SecretStr(key or stripe.KEY),
        webhook_secret=SecretStr(stripe.WEBHOOK_SECRET),
        return_url=f"{OUR_URL}/paid",
        api_url=url,
        clock=clock,
    )


def disburser_of(method: PayoutMethod, url: str) -> PayoutProvider:
    """Ours, with the settings that the peer expects."""
    if method == "sandbox":
        return SandboxPayoutProvider(url=url, secret=SecretStr(SANDBOX_SECRET))
    if method == "paypal":
        return PayPalPayoutProvider(
            client_id=paypal.CLIENT_ID, client_secret=SecretStr(paypal.SECRET), api_url=url
        )
    return BtcPayPayoutProvider(url=url, store_id=btcpay.STORE, api_key=SecretStr(btcpay.KEY))


def withdrawals_on(
    store: Database, ledger: Ledger, vault: Vault, clock: Clock
) -> tuple[PayoutMethods, Withdrawals]:
    addresses = PayoutMethods(ledger=ledger, vault=vault)
    return addresses, Withdrawals(
        ledger=ledger,
        payout_methods=addresses,
        policy=replace(BRIEF_POLICY, payout_least=Credits(100)),
        payment_records=PaymentReader(store),
    )

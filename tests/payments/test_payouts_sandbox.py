"""The demo's service pays people: as strict as a real one, and with a page for each payout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr

from bots.sandbox.payment_service import SandboxPaymentService
from core.money import parse_usd
from payments.gateways.sandbox import SandboxGateway, SandboxPayoutProvider
from payments.payouts import PayoutStatus
from payments.types import GatewayUnavailable
from tests.payments.gateway_clients import SANDBOX_SECRET, disburser_of
from tests.payments.payout_desks import payout_of

ONE = payout_of()
FEE = parse_usd("0.25")


@dataclass
class Demo:
    """The service, and our side of it."""

    service: SandboxPaymentService
    url: str
    ours: SandboxPayoutProvider


@pytest_asyncio.fixture
async def demo() -> AsyncIterator[Demo]:
    service = SandboxPaymentService(SANDBOX_SECRET)
    url = await service.start()
    disburser = disburser_of("sandbox", url)
    assert isinstance(disburser, SandboxPayoutProvider)
    yield Demo(service, url, disburser)
    await disburser.close()
    await service.stop()


@pytest.fixture
def ours(demo: Demo) -> SandboxPayoutProvider:
    return demo.ours


async def test_it_arrives_at_once_and_once(demo: Demo) -> None:
    ours = demo.ours
    paid = PayoutStatus("paid", ONE.id, fee=FEE)
    assert await ours.send_payout(ONE, SecretStr("Bob")) == paid
    assert await ours.send_payout(ONE, SecretStr("Bob")) == paid
    assert await ours.fetch_payout(ONE) == paid
    assert len(demo.service.payouts.payouts) == 1
    assert await ours.check_account() == ""


async def test_another_secret_is_told_at_once_by_either_side_of_it(demo: Demo) -> None:
    right = SandboxGateway(url=demo.url, secret=SecretStr(SANDBOX_SECRET))
    await right.check_account()
    wrong = SecretStr("another secret")
    for ours in (
        SandboxGateway(url=demo.url, secret=wrong),
        SandboxPayoutProvider(url=demo.url, secret=wrong),
    ):
        with pytest.raises(GatewayUnavailable):
            await ours.check_account()
        await ours.close()
    await right.close()


async def test_to_return_it_comes_back(ours: SandboxPayoutProvider) -> None:
    back = PayoutStatus("failed", ONE.id, fee=FEE, reason="RETURNED")
    assert await ours.send_payout(ONE, SecretStr("Return")) == back


async def test_a_page_by_which_it_arrives_and_comes_back(demo: Demo) -> None:
    ours, url = demo.ours, demo.url
    assert (await ours.send_payout(ONE, SecretStr("wait"))).state == "pending"
    page = ours.get_payout_url(ONE)
    async with aiohttp.ClientSession() as browser:

        async def presses(act: str) -> int:
            async with browser.post(f"{page}/{act}", allow_redirects=False) as done:
                return done.status

        async with browser.get(page) as shown:
            text = await shown.text()
        assert "$674.97" in text
        assert "no money moves" in text
        assert await presses("arrive") == 303
        assert (await ours.fetch_payout(ONE)).state == "paid"
        assert await presses("arrive") == 409
        assert await presses("return") == 303
        assert (await ours.fetch_payout(ONE)).reason == "RETURNED"
        assert await presses("return") == 409
        async with browser.get(f"{page}x") as nothing:
            assert nothing.status == 404
        for call in (browser.get(f"{url}/payouts?id={ONE.id}"), browser.post(f"{url}/payouts")):
            async with call as refused:
                assert refused.status == 401


async def test_the_same_id_for_something_else_is_refused(ours: SandboxPayoutProvider) -> None:
    await ours.send_payout(ONE, SecretStr("Bob"))
    for other in (replace(ONE, cash=parse_usd("1")), ONE):
        to = "Bob" if other is not ONE else "Ann"
        with pytest.raises(GatewayUnavailable):
            await ours.send_payout(other, SecretStr(to))
    with pytest.raises(GatewayUnavailable):
        await ours.fetch_payout(replace(ONE, cash=parse_usd("1")))
    with pytest.raises(GatewayUnavailable):
        await ours.fetch_payout(payout_of(number=2))


@pytest.mark.parametrize(
    ("cash", "to", "code"),
    [("0", "Bob", "AMOUNT"), ("9", " ", "RECEIVER"), ("9", "B" * 61, "RECEIVER")],
)
async def test_what_never_works_has_failed(
    ours: SandboxPayoutProvider, cash: str, to: str, code: str
) -> None:
    told = await ours.send_payout(payout_of(cash), SecretStr(to))
    assert told == PayoutStatus("failed", "", reason=code)

"""Codes sold elsewhere: each counts once, and is an order like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
import sqlalchemy as sa

from core import ids as typed
from core.db import schema
from core.db.writes import Companion, Update
from core.ledger.ledger import Ledger
from core.money import Credits, parse_usd
from core.users.service import find_person
from core.users.types import Person, TooManyAttempts
from payments.fulfillment import PAID
from payments.gateways.voucher import VOUCHER_GATEWAY, VoucherGateway
from payments.offer import BadAmount
from payments.promo_codes import CodeRefused
from payments.vouchers import Vouchers, has_vouchers
from tests.payments import voucher_child
from tests.payments.conftest import Shop
from tests.payments.fork_context import FORK_CONTEXT
from tests.payments.order_services import OrderServices
from tests.support.size import size

USD = 1_000_000_000


@dataclass
class Kiosk:
    """Where codes are sold, and who bought one."""

    shop: Shop
    codes: Vouchers
    services: OrderServices
    tom: Person

    async def sells(self, cash: str = "10", *, days: int | None = None) -> str:
        made = self.codes.generate_vouchers(parse_usd(cash), 1, days)
        await self.codes.save_codes(made)
        return made[0].text

    async def person(self) -> Person:
        return await find_person(self.shop.store, await self.shop.person())


@pytest_asyncio.fixture
async def kiosk(shop: Shop) -> AsyncIterator[Kiosk]:
    codes = Vouchers(orders=shop.orders, fulfillment=shop.crediting, ledger=shop.ledger)
    services = OrderServices(
        {VOUCHER_GATEWAY: VoucherGateway()},
        shop.orders,
        shop.crediting,
        db=shop.store,
        ledger=shop.ledger,
        clock=shop.clock,
    )
    tom = await find_person(shop.store, await shop.person())
    yield Kiosk(shop, codes, services, tom)


@pytest.mark.parametrize(
    ("cash", "bought", "gift"), [("10", 1_000, 0), ("90", 9_000, 1_000), ("100", 10_000, 1_000)]
)
async def test_a_code_is_an_order_that_is_paid(
    kiosk: Kiosk, cash: str, bought: int, gift: int
) -> None:
    shop = kiosk.shop
    text = await kiosk.sells(cash)
    order = await kiosk.codes.redeem_code(
        kiosk.tom, "telegram:1:", f" {text.lower().replace('-', ' ')}"
    )
    assert (order.gateway, order.state, order.paid) == (
        VOUCHER_GATEWAY,
        "credited",
        parse_usd(cash),
    )
    assert await shop.has(kiosk.tom.id) == {"bought": bought} | ({"gift": gift} if gift else {})
    assert await shop.stands("cash/code", "sales", "gateway-fees") == [
        *(parse_usd(cash).units, -parse_usd(cash).units, 0)
    ]
    (receipt,) = await kiosk.services.order_search.list_receipts([order])
    assert receipt.id.startswith("pay_")
    assert (await kiosk.services.order_search.find_order(receipt.id)).id == order.id
    assert await shop.told(kiosk.tom.id) == [], "the reply says it"
    await shop.audited()


async def test_it_counts_once_whoever_types_it_again(kiosk: Kiosk) -> None:
    text = await kiosk.sells()
    first = await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", text)
    again = await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", text)
    assert first.id == again.id
    with pytest.raises(CodeRefused) as refused:
        await kiosk.codes.redeem_code(await kiosk.person(), "telegram:2:", text)
    assert refused.value.reason == "used"
    assert await kiosk.shop.has(kiosk.tom.id) == {"bought": 1_000}
    await kiosk.shop.audited()


def _redeem_at_once(shop: Shop, database: str, people: list[str], text: str) -> list[str]:
    """What each of as many processes says; none begins before all are ready."""
    children = []
    for person in people:
        ours, theirs = FORK_CONTEXT.Pipe()
        told = (database, shop.clock.now_ms(), person, text, theirs)
        child = FORK_CONTEXT.Process(target=voucher_child.work, args=told)
        child.start()
        theirs.close()
        children.append((child, ours))
    assert [ours.recv() for _, ours in children] == ["ready"] * len(people)
    for _, ours in children:
        ours.send("go")
    said = [ours.recv() for _, ours in children]
    for child, ours in children:
        child.join()
        ours.close()
        assert child.exitcode == 0
        child.close()
    return said


async def test_on_two_processes_at_once_it_counts_once(kiosk: Kiosk, database_url: str) -> None:
    shop = kiosk.shop
    for number in range(size(small=2, full=20)):
        text, other = await kiosk.sells(), await kiosk.person()
        people = [kiosk.tom.id, other.id]
        before = [sum((await shop.has(person)).values()) for person in people]
        async with asyncio.timeout(60):
            said = await asyncio.to_thread(_redeem_at_once, shop, database_url, people, text)
        assert sorted(said) == ["credited", "used"], number
        after = [sum((await shop.has(person)).values()) for person in people]
        assert sum(after) - sum(before) == 1_000
    await shop.audited()


async def test_many_who_type_it_at_once_share_nothing(kiosk: Kiosk) -> None:
    text, people = await kiosk.sells(), [kiosk.tom, *[await kiosk.person() for _ in range(7)]]
    outcomes = await asyncio.gather(
        *(kiosk.codes.redeem_code(person, "telegram:1:", text) for person in people * 2),
        return_exceptions=True,
    )
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert all(isinstance(one, CodeRefused) and one.reason == "used" for one in refused), refused
    assert len(outcomes) - len(refused) == 2, "one person, told the same twice"
    has = [sum((await kiosk.shop.has(person.id)).values()) for person in people]
    assert sorted(has) == [0] * 7 + [1_000]
    await kiosk.shop.audited()


async def test_wrong_expired_and_void_ones_give_nothing(kiosk: Kiosk) -> None:
    late, void = await kiosk.sells(days=1), await kiosk.sells()
    kiosk.shop.clock.advance(days=1)
    (card,) = [one for one in await kiosk.codes.list_vouchers() if one.state == "open"]
    assert await kiosk.codes.void_codes(card.id) == 1
    assert await kiosk.codes.void_codes(card.id) == 0
    for text, why in ((late, "expired"), (void, "void"), ("ABCD-EFGH-JKLM-NPQR", "unknown")):
        with pytest.raises(CodeRefused) as refused:
            await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", text)
        assert refused.value.reason == why
    assert await kiosk.shop.has(kiosk.tom.id) == {}
    await kiosk.shop.audited()


async def test_redeemed_and_voided_at_once_it_is_one_of_both(kiosk: Kiosk) -> None:
    for number in range(size(small=10, full=100)):
        made = kiosk.codes.generate_vouchers(parse_usd("10"), 1, None)
        await kiosk.codes.save_codes(made)
        voided, redeemed = await asyncio.gather(
            kiosk.codes.void_codes(made[0].id),
            kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", made[0].text),
            return_exceptions=True,
        )
        assert (voided == 1) == isinstance(redeemed, CodeRefused), number
    await kiosk.shop.audited()


async def test_few_wrong_tries_and_only_of_who_makes_them(kiosk: Kiosk) -> None:
    good, other = await kiosk.sells(), await kiosk.person()
    for _ in range(5):
        with pytest.raises(CodeRefused):
            await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", "AAAA-AAAA-AAAA-AAAA")
    with pytest.raises(TooManyAttempts):
        await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", good)
    await kiosk.codes.redeem_code(other, "telegram:2:", good)
    kiosk.shop.clock.advance(seconds=601)
    with pytest.raises(CodeRefused):
        await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", good)


async def test_a_batch_is_voided_but_for_what_was_used(kiosk: Kiosk) -> None:
    assert not await has_vouchers(kiosk.shop.store)
    made = kiosk.codes.generate_vouchers(parse_usd("5"), 1_200, None)
    assert len({one.text for one in made}) == 1_200
    await kiosk.codes.save_codes(made)
    assert await has_vouchers(kiosk.shop.store)
    await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", made[700].text)
    (used,) = [one for one in await kiosk.codes.list_vouchers(made[0].batch) if one.state == "used"]
    assert (used.id, used.person) == (made[700].id, kiosk.tom.id)
    for name in ("cod_none", used.id):
        assert await kiosk.codes.void_codes(name) == 0
    assert await kiosk.codes.void_codes(made[1].id) == 1
    states = [one.state for one in await kiosk.codes.list_vouchers()]
    assert (states.count("used"), states.count("void")) == (1, 1)


async def test_the_code_itself_is_kept_nowhere(kiosk: Kiosk) -> None:
    text = await kiosk.sells()
    await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", text)
    for table in schema.metadata.tables.values():
        rows = str(await kiosk.shop.store.fetch(table.select()))
        assert text not in rows
        assert typed.normalize_code(text) not in rows


async def test_a_friends_code_earns_the_inviter_and_its_refund_takes_all_back(kiosk: Kiosk) -> None:
    shop = kiosk.shop
    bob = await find_person(shop.store, await shop.friend(kiosk.tom.id))
    order = await kiosk.codes.redeem_code(bob, "telegram:2:", await kiosk.sells("90"))
    assert await shop.has(kiosk.tom.id) == {"gift": 1_000}
    for _ in range(2):
        after = await kiosk.services.refunds.refund_order(order, parse_usd("45"), cause="btn_1")
    assert after.refunded == parse_usd("45"), "once a cause"
    assert await shop.has(bob.id) == {"bought": 4_500}
    assert await shop.has(kiosk.tom.id) == {"gift": 450}
    assert (await shop.stands("cash/code"))[0] == 45 * USD
    await shop.audited()


async def test_what_a_crash_left_unpaid_is_credited_by_itself(kiosk: Kiosk) -> None:
    shop, text = kiosk.shop, await kiosk.sells()
    row = (await shop.store.fetch(sa.select(schema.code)))[0]
    use = Update(schema.code, {"id": row.id}, {"uses": 1}, {"uses": 0})
    await shop.orders.create_voucher_order(
        code=row.id,
        person=kiosk.tom.id,
        place="telegram:1:",
        gateway=VOUCHER_GATEWAY,
        value=parse_usd("10"),
        voucher_use=use,
    )
    shop.clock.advance(seconds=120)
    assert await kiosk.services.reconciliation.reconcile_orders() == 1
    assert await shop.has(kiosk.tom.id) == {"bought": 1_000}
    assert [kind for kind, _ in await shop.told(kiosk.tom.id)] == [PAID]
    assert (await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", text)).bought == Credits(1_000)
    assert await shop.has(kiosk.tom.id) == {"bought": 1_000}
    await shop.audited()


def test_only_what_is_sold_can_be_a_codes_worth(kiosk: Kiosk) -> None:
    for cash in ("0.5", "20000", "1.001"):
        with pytest.raises(BadAmount):
            kiosk.codes.generate_vouchers(parse_usd(cash), 1, None)


async def test_a_code_that_is_redeemed_meanwhile_is_not_voided(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await kiosk.sells()
    (code,) = await kiosk.codes.list_vouchers()
    void = Ledger.try_record

    async def void_late(ledger: Ledger, *companions: Companion) -> bool:
        """Tom was a moment faster."""
        monkeypatch.setattr(Ledger, "try_record", void)
        await kiosk.codes.redeem_code(kiosk.tom, "telegram:1:", text)
        return await void(ledger, *companions)

    monkeypatch.setattr(Ledger, "try_record", void_late)
    assert await kiosk.codes.void_codes(code.id) == 0
    assert await kiosk.shop.has(kiosk.tom.id) == {"bought": 1_000}
    await kiosk.shop.audited()

"""The demo's economy, as a stranger plays it: a key is contributed, sandbox people pay for it, and
what it earned is withdrawn and paid.
"""

from __future__ import annotations

import re

from tests.system.commandline import Place, place, press

__all__ = ["place", "press"]

KEY = "sk-sandbox-500"
IBAN = "GB33 BUKB 2020 1555 5555 55"


CONTRIBUTING = f"/contribute openai\n{KEY}\n1\n/admin\n/crowd 600\n/admin\n/keys\n"


async def earned_and(place: Place, then: str, **settings: str) -> tuple[str, int, str]:
    """What is said, how many Credits were earned, and what they are paid out as."""
    place.secrets |= {KEY}
    place.settings = {"welcome_credits": "0", "payout_least": "100", **settings}
    done = await place.creditbot("demo", stdin=CONTRIBUTING + then)
    charged = number(r"answers of .+ for ([\d,]+) Credits", done.out)
    brought = number(r"serving +([\d,]+) Credits", done.out)
    assert 100 <= brought < charged
    assert number(r"Withdrawable: ([\d,]+) Credits → ", done.out) == brought
    place.settings = {"database_url": "sqlite:///.demo/creditbot.db"}
    assert (await place.creditbot("audit", "--json")).json["findings"] == []
    cents = brought * 9 // 10
    return done.out, brought, f"${cents // 100}.{cents % 100:02}"


async def test_a_contributed_key_earns_and_its_owner_is_paid_in_the_sandbox(place: Place) -> None:
    then = "/withdraw\n1\nBob\n1\n/admin\n/payouts\n1\n1\n1\n/admin\n/withdraw\n"
    out, brought, dollars = await earned_and(place, then)
    assert f"{brought:,} Credits become {dollars}, paid by Sandbox payout to B•••" in out
    assert re.search(rf"{re.escape(dollars)} +paid +out_", out.split("> /withdraw\n")[-1])


async def test_what_comes_back_can_be_withdrawn_again(place: Place) -> None:
    then = "/withdraw\n1\nreturn\n1\n/admin\n/payouts\n1\n1\n1\n/admin\n/withdraw\n"
    out, brought, dollars = await earned_and(place, then)
    again = out.split("> /withdraw\n")[-1]
    assert re.search(rf"{re.escape(dollars)} +came back +out_", again)
    assert number(r"Withdrawable: ([\d,]+) Credits → ", again) == brought


async def test_by_hand_where_a_setting_says_so(place: Place) -> None:
    withdrawing = f"/withdraw\n2\nBob Miller\n{IBAN}\nHSBC, HBUKGB4B, UK\n1\n"
    approving = "/admin\n/payouts\n1\n1\n1\n"
    paying = "1\n1\n1\n1\n/admin\n/withdraw\n"
    out, brought, dollars = await earned_and(
        place, withdrawing + approving + paying, payouts="manual"
    )
    assert f"{brought:,} Credits become {dollars}, paid by Bank transfer to GB••••5555" in out
    approved, paid = out.split(f"[1] Yes, I pay {dollars}")
    assert IBAN not in approved, "while it can still be cancelled nobody needs it"
    assert f"Pay it by hand to: Bob Miller\n{IBAN}\n" in paid
    assert re.search(rf"{re.escape(dollars)} +paid +out_", paid.split("> /withdraw\n")[1])


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return int(found[1].replace(",", ""))


async def test_after_a_restart_a_contributed_key_serves_on(place: Place) -> None:
    """The sandbox listens at another port each time; nobody's key is lost by that."""
    await earned_and(place, "/withdraw\n")
    place.settings = {"welcome_credits": "0", "payout_least": "100"}
    done = await place.creditbot("demo", stdin="/admin\n/crowd 600\n/pool\n/admin\n/keys\n")
    assert number(r"answers of .+ for ([\d,]+) Credits", done.out) > 100
    assert "address changed" not in done.out
    assert re.search(r"OpenAI …-500 +serving", done.out)


async def test_where_a_suppliers_address_changed_its_keys_say_so(place: Place) -> None:
    await earned_and(place, "/withdraw\n")
    elsewhere = {"supplier_openai_url": "http://127.0.0.1:9/v1", "supplier_openai_key": "none"}
    place.settings = {"welcome_credits": "0", "contributions": "openai"}
    done = await place.creditbot("demo", stdin="/keys\n/admin\n/pool\n", **elsewhere)
    assert re.search(r"…-500 +can't serve: its supplier's address has changed", done.out)
    assert re.search(r"OpenAI …-500 +address changed", done.out)
    assert "set the old one again, or add the key anew." in done.out

"""The demo's economy, as a stranger plays it: a key is contributed, sandbox people pay for it, and
what it earned is withdrawn and paid.
"""

from __future__ import annotations

import re

from tests.system.commandline import Place, place, press

__all__ = ["place", "press"]

KEY = "sk-sandbox-500"
IBAN = "GB33 BUKB 2020 1555 5555 55"


async def test_a_contributed_key_earns_and_its_owner_is_paid(place: Place) -> None:
    place.secrets |= {KEY}
    place.settings = {"welcome_credits": "0", "payout_least": "100"}
    contributing = f"/contribute openai\n{KEY}\n1\n"
    crowd = "/admin\n/crowd 600\n/admin\n/keys\n"
    withdrawing = f"/withdraw\n1\nBob Miller\n{IBAN}\nHSBC, HBUKGB4B, UK\n1\n"
    paying = "/admin\n/payouts\n1\n1\n1\n1\n/admin\n/withdraw\n"
    done = await place.creditbot("demo", stdin=contributing + crowd + withdrawing + paying)

    charged = number(r"answers of .+ for ([\d,]+) Credits", done.out)
    brought = number(r"serving +([\d,]+) Credits", done.out)
    assert 100 <= brought < charged
    withdrawn = number(r"Withdrawable: ([\d,]+) Credits → ", done.out)
    assert withdrawn == brought
    dollars = f"${withdrawn * 9 // 10 // 100}.{withdrawn * 9 // 10 % 100:02}"
    assert f"{withdrawn} Credits become {dollars}, paid by Bank transfer to GB••••" in done.out
    owner, owners = done.out.split("> /payouts\n")
    assert IBAN not in owner
    assert f"Pay it by hand to: Bob Miller\n{IBAN}\n" in owners
    assert re.search(rf"{re.escape(dollars)} +paid +out_", owners.split("> /withdraw\n")[1])

    place.settings = {"database_url": "sqlite:///.demo/creditbot.db"}
    assert (await place.creditbot("audit", "--json")).json["findings"] == []


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return int(found[1].replace(",", ""))

"""The demo's owner plays a supplier's rise: raised, passed on, undone; the books stay clean."""

from __future__ import annotations

from tests.system.commandline import Place, place, press
from tests.system.demo_support import BIN, answers, the_real

__all__ = ["place", "press"]

LINES = (
    "/ask gpt-4 why is the sky blue?\n/admin\n/pricing\n/suppliers\n1\n1\n2\n/suppliers\n"
    "/setprice gpt-4 5 in 2h\n/setprice gpt-4 undo\n/audit\n"
)


async def test_the_owner_plays_a_suppliers_rise(place: Place) -> None:
    done = await the_real(place, BIN / "creditbot", "demo", stdin=LINES)
    assert done.code == 0, done
    told = answers(done, LINES)
    assert "4 of " in told[2], "all but the four of the owner are the formula's"
    assert "Lists: genai-prices" in told[3]
    assert "The sandbox raises a price" in told[3]
    assert "costs more" in told[4]
    assert "Pass on:" in told[4]
    assert "Nobody is told unless you want it" in told[5]
    assert "(before:" in told[6]
    assert "No change waits for you." in told[7]
    assert "from " in told[8]
    assert "Audit: clean" in told[10]

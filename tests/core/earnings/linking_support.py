"""What tests of linking share."""

from __future__ import annotations

from dataclasses import replace

from core.money import Credits
from tests.core.earnings.world import BRIEFS

LITTLE = replace(BRIEFS, payout_least=Credits(10), advance_percent=10)

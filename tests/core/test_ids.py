"""Ids: ordered as they were made, the same for the same cause."""

from __future__ import annotations

from core import ids


def test_ids_of_one_millisecond_are_in_the_order_in_which_they_were_made() -> None:
    made = [ids.new_id("prc", 1_772_366_400_000) for _ in range(1_000)]
    assert made == sorted(made)
    assert len(set(made)) == 1_000
    assert ids.new_id("prc", 1_772_366_400_001) > made[-1]


def test_the_same_cause_has_the_same_id_and_its_time() -> None:
    one = ids.derive_id("ask", 1_772_366_400_000, "telegram", "7", "42")
    assert one == ids.derive_id("ask", 1_772_366_400_000, "telegram", "7", "42")
    assert one != ids.derive_id("ask", 1_772_366_400_000, "telegram", "74", "2")
    assert ids.time_of_id(one) == 1_772_366_400_000
    assert ids.min_id("ask", 1_772_366_400_000) <= one < ids.min_id("ask", 1_772_366_400_001)

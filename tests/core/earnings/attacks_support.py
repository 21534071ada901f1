"""What tests of attacks share."""

from __future__ import annotations

#: A key of a hundred requests, 450 Credits.
SMALL = "3"

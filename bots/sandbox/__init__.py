"""What stands in for the world in the demo, on loopback: suppliers, payments, people."""

from __future__ import annotations

from bots.sandbox.checkout import SandboxCheckout
from bots.sandbox.crowd import Crowd
from bots.sandbox.supplier import SandboxSupplier

__all__ = ["Crowd", "SandboxCheckout", "SandboxSupplier"]

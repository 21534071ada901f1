"""What stands in for the world in the demo, on loopback: suppliers of models, a payment service."""

from __future__ import annotations

from bots.sandbox.checkout import SandboxCheckout
from bots.sandbox.supplier import SandboxSupplier

__all__ = ["SandboxCheckout", "SandboxSupplier"]

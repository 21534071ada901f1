"""What stands in for the world in the demo: a supplier of models on loopback. It ships."""

from __future__ import annotations

from bots.sandbox.supplier import SandboxSupplier

__all__ = ["SandboxSupplier"]

"""Gateways: each speaks to one payment service, and tells what it heard as values."""

from __future__ import annotations

from payments.gateways.base import Accepts, Gateway, Message

__all__ = ["Accepts", "Gateway", "Message"]

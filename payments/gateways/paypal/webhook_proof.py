"""Whether a webhook can be PayPal's: what is looked at before PayPal itself is asked, and the
question put to it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from payments.gateways.paypal.client import NAME
from payments.types import Forged

#: PayPal tries to deliver a message 25 times in 3 days. Whether a later try bears a new time isn't
#: said anywhere, so the oldest that may come is as old as that.
AGE_SECONDS_MAX = 3 * 86_400 + 3_600
#: How far ahead PayPal's clock may run.
AHEAD_SECONDS_MAX = 300

#: PayPal's names of what proves a message, and the headers that bring it.
_HEADERS = {
    "auth_algo": "paypal-auth-algo",
    "cert_url": "paypal-cert-url",
    "transmission_id": "paypal-transmission-id",
    "transmission_sig": "paypal-transmission-sig",
    "transmission_time": "paypal-transmission-time",
}
_HEADER_CHARS_MAX = 500
_EVENT = re.compile(r"[A-Za-z0-9-]{1,64}")


def plausible(headers: Mapping[str, str], body: bytes, *, live: bool) -> str:
    """The event's id; raises `InvalidSignature` for what can't be PayPal's, or is of the other
    mode."""
    given = [headers.get(header, "") for header in _HEADERS.values()]
    if not all(0 < len(value) <= _HEADER_CHARS_MAX for value in given):
        raise Forged(NAME, "headers")
    if headers["paypal-auth-algo"] != "SHA256withRSA":
        raise Forged(NAME, "algorithm")
    _check_certificate(headers["paypal-cert-url"], live=live)
    sent = seconds(headers["paypal-transmission-time"])
    if sent is None or not -AHEAD_SECONDS_MAX <= time.time() - sent <= AGE_SECONDS_MAX:
        raise Forged(NAME, "time")
    try:
        event = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise Forged(NAME, "body") from None
    id_ = event.get("id") if isinstance(event, dict) else None
    if not isinstance(id_, str) or not _EVENT.fullmatch(id_):
        raise Forged(NAME, "body")
    return id_


def question(headers: Mapping[str, str], webhook: str, body: bytes) -> bytes:
    """What PayPal is asked. The event goes in as it came: written anew it could be other bytes, and
    proven no longer."""
    asked = {name: headers[header] for name, header in _HEADERS.items()}
    begun = json.dumps({**asked, "webhook_id": webhook}).encode()
    return begun[:-1] + b', "webhook_event": ' + body + b"}"


def seconds(text: str) -> float | None:
    """Seconds UTC of a time as PayPal writes it; None for what is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _check_certificate(url: str, *, live: bool) -> None:
    """Only PayPal's own, and of our account's mode: the sandbox has hosts of its own."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Forged(NAME, "certificate") from None
    at_paypal = parts.scheme == "https" and host.endswith(".paypal.com")
    if not at_paypal or port not in {None, 443}:
        raise Forged(NAME, "certificate")
    if host.endswith(".sandbox.paypal.com") is live:
        raise Forged(NAME, "mode")

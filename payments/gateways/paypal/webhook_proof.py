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
from payments.types import InvalidSignature

#: PayPal tries to deliver a message 25 times in 3 days. Whether a later try bears a new time isn't
#: said anywhere, so the oldest that may come is as old as that.
AGE_SECONDS_MAX = 3 * 86_400 + 3_600
#: How far ahead PayPal's clock may run.
CLOCK_SKEW_SECONDS_MAX = 300

#: PayPal's names of what proves a message, and the headers that bring it.
_HEADERS = {
    "auth_algo": "paypal-auth-algo",
    "cert_url": "paypal-cert-url",
    "transmission_id": "paypal-transmission-id",
    "transmission_sig": "paypal-transmission-sig",
    "transmission_time": "paypal-transmission-time",
}
_HEADER_CHARS_MAX = 500
_EVENT_ID_PATTERN = re.compile(r"[A-Za-z0-9-]{1,64}")


def precheck_webhook(headers: Mapping[str, str], body: bytes, *, is_live: bool) -> str:
    """The event's id; raises `InvalidSignature` for what can't be PayPal's, or is of the other
    mode."""
    values = [headers.get(header, "") for header in _HEADERS.values()]
    if not all(0 < len(value) <= _HEADER_CHARS_MAX for value in values):
        raise InvalidSignature(NAME, "headers")
    if headers["paypal-auth-algo"] != "SHA256withRSA":
        raise InvalidSignature(NAME, "algorithm")
    _check_certificate(headers["paypal-cert-url"], is_live=is_live)
    sent_at = parse_time(headers["paypal-transmission-time"])
    if sent_at is None or not -CLOCK_SKEW_SECONDS_MAX <= time.time() - sent_at <= AGE_SECONDS_MAX:
        raise InvalidSignature(NAME, "time")
    try:
        event = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise InvalidSignature(NAME, "body") from None
    id_ = event.get("id") if isinstance(event, dict) else None
    if not isinstance(id_, str) or not _EVENT_ID_PATTERN.fullmatch(id_):
        raise InvalidSignature(NAME, "body")
    return id_


def build_verification_request(headers: Mapping[str, str], webhook_id: str, body: bytes) -> bytes:
    """What PayPal is asked. The event goes in as it came: written anew it could be other bytes, and
    proven no longer."""
    proof = {name: headers[header] for name, header in _HEADERS.items()}
    without_event = json.dumps({**proof, "webhook_id": webhook_id}).encode()
    return without_event[:-1] + b', "webhook_event": ' + body + b"}"


def parse_time(text: str) -> float | None:
    """Seconds UTC of a time as PayPal writes it; None for what is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _check_certificate(url: str, *, is_live: bool) -> None:
    """Only PayPal's own, and of our account's mode: the sandbox has hosts of its own."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidSignature(NAME, "certificate") from None
    at_paypal = parts.scheme == "https" and host.endswith(".paypal.com")
    if not at_paypal or port not in {None, 443}:
        raise InvalidSignature(NAME, "certificate")
    if host.endswith(".sandbox.paypal.com") is is_live:
        raise InvalidSignature(NAME, "mode")

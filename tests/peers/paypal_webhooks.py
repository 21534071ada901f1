"""PayPal's webhooks: bodies, what proves them, and what PayPal answers who asks for the proof."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import re
import time
import zlib
from datetime import UTC, datetime
from typing import Any

WEBHOOK_ID = "8PT597110X687430L"
EVENTS = (
    "CHECKOUT.ORDER.APPROVED",
    *(f"PAYMENT.CAPTURE.{one}" for one in ("COMPLETED", "DECLINED", "DENIED")),
    *(f"PAYMENT.CAPTURE.{one}" for one in ("REFUNDED", "REVERSED")),
    *(f"CUSTOMER.DISPUTE.{one}" for one in ("CREATED", "UPDATED", "RESOLVED")),
)
CERTIFICATE = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594"
#: What the fake signs with, in place of PayPal's private key.
_OWN_KEY = b"the key that only PayPal has"
_ASKED = {
    *("auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time"),
    *("webhook_id", "webhook_event"),
}
_NUMBERS = itertools.count(1)


def event(kind: str, about: dict[str, Any], **changes: Any) -> bytes:
    """A webhook's raw body, spaced as no serialiser of ours would."""
    body = {
        "id": f"WH-{next(_NUMBERS):06}-TEST",
        "event_version": "1.0",
        "create_time": now(),
        "resource_type": kind.split(".")[1].lower(),
        "event_type": kind,
        "summary": "Ünïcode, as it is",
        "resource": about,
        **changes,
    }
    return json.dumps(body, ensure_ascii=False, separators=(" ,", ":  ")).encode()


def headers(body: bytes, *, webhook: str = WEBHOOK_ID, at: float | None = None) -> dict[str, str]:
    """What comes with a body and proves it."""
    sent = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    stamp = sent.strftime("%Y-%m-%dT%H:%M:%SZ")
    id_ = f"b2c{zlib.crc32(body):08x}-0000-11ee-8d9a-000000000000"
    return {
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-cert-url": CERTIFICATE,
        "paypal-transmission-id": id_,
        "paypal-transmission-time": stamp,
        "paypal-transmission-sig": _signature(id_, stamp, webhook, body),
    }


def is_proven(raw: bytes) -> bool | None:
    """PayPal's answer to who asks for the proof; None where the question is no question."""
    text = raw.decode()
    asked = json.loads(text)
    if set(asked) != _ASKED:
        return None
    # The very bytes that were sent as the event are what the signature is over.
    begins = re.search(r'"webhook_event":\s*', text)
    assert begins is not None
    _, end = json.JSONDecoder().raw_decode(text, begins.end())
    body = text[begins.end() : end].encode()
    wanted = _signature(asked["transmission_id"], asked["transmission_time"], WEBHOOK_ID, body)
    return bool(asked["webhook_id"] == WEBHOOK_ID and asked["transmission_sig"] == wanted)


def now() -> str:
    """As PayPal writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _signature(id_: str, stamp: str, webhook: str, body: bytes) -> str:
    message = f"{id_}|{stamp}|{webhook}|{zlib.crc32(body)}".encode()
    return base64.b64encode(hmac.digest(_OWN_KEY, message, hashlib.sha256)).decode()

"""What suppliers answer to a question that they won't or can't answer, by what is wrong with it:
each was reported of a real one. None of it is a fault of the key's.
"""

from __future__ import annotations

from tests.peers.suppliers import Answer as Says, Refuse, Script, Used

LARGE = "Request too large for gpt-4 (TPM): Limit 8000, Requested 8093"

REFUSALS: dict[str, Script] = {
    "content": Refuse(400, code="content_policy_violation", message="flagged by our system"),
    "content, as forbidden": Refuse(
        403, body=b'{"code":"permission-denied","error":"Content violates usage guidelines. "}'
    ),
    "content, as bad request": Refuse(400, message="Output blocked by content filtering policy"),
    "too long": Refuse(400, code="context_length_exceeded"),
    "too large": Refuse(413, code="rate_limit_exceeded", type="tokens", message=LARGE),
    "too large, as too many": Refuse(429, code="rate_limit_exceeded", type="tokens", message=LARGE),
    "unknown words": Refuse(400, message="the moon is in the wrong house"),
    "filtered": Says("", usage=Used(400, 2_000), finish="filtered"),
    "unseen": Says("\u200b\u2060", usage=Used(400, 2_000)),
    "thought away": Says("", usage=Used(400, 2_000), thinking=5, finish="length"),
}

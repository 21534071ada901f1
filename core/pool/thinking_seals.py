"""Seals of thoughts: what a program is given in place of a supplier's signature, and sends back.

A supplier signs what its model thought, for the account of one key, and takes it back from there
alone. The seal says which key that was, and nobody but us can read or make one: no signature of a
supplier's leaves the service, and none that somebody else made goes to a supplier. It is bound to
the person who was answered.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from core.pool.providers.message_parts import ThinkingPart
from core.pool.vault import Unsealable, Vault, VaultLocked

#: Told by their beginning from signatures of suppliers; the number is that of the form.
SEAL_PREFIX: Final = "cbs1."
#: No signature is so long; larger ones aren't looked at.
SEALED_CHARS_MAX: Final = 1 << 20


class ThinkingSeals:
    """Seals the signatures of thoughts on their way out, and opens them on their way back."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal_thought(self, person: str, thought: ThinkingPart) -> str:
        """A seal for the signature of a thought, and what its supplier hid of it; never for its
        text, which goes along in the open."""
        content = {"k": thought.key, "s": thought.signature, "r": thought.redacted}
        encoded = json.dumps(content, separators=(",", ":")).encode()
        return _encode(self._vault.seal(_name_context(person), encoded))

    def open_thought(self, person: str, sealed: str) -> ThinkingPart | None:
        """The thought of a seal, without its text; None for anything that isn't a seal of ours for
        this person: such a thought can go nowhere, and nobody is to blame."""
        if not sealed.startswith(SEAL_PREFIX) or len(sealed) > SEALED_CHARS_MAX:
            return None
        try:
            unsealed = self._vault.unseal(_name_context(person), _decode(sealed))
            content: dict[str, Any] = json.loads(unsealed)
        except (binascii.Error, ValueError, Unsealable, VaultLocked):
            # Altered, cut off, another person's, or of a master key that was taken away since.
            return None
        return ThinkingPart("", content["s"], content["k"], content["r"])


def _name_context(person: str) -> str:
    """Whose thoughts a seal is about: it opens for nobody else."""
    return f"thinking/{person}"


def _encode(sealed: bytes) -> str:
    """A sealed value in letters that pass through JSON, addresses and headers as they are."""
    return SEAL_PREFIX + base64.urlsafe_b64encode(sealed).decode()


def _decode(text: str) -> bytes:
    """Raises ValueError for what `_encode` didn't write."""
    return base64.b64decode(text.removeprefix(SEAL_PREFIX), b"-_", validate=True)

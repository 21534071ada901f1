"""What tests of forms share."""

from __future__ import annotations

from pydantic import SecretStr

from bots.chat.types import FormCard, FormSubmission, Output, Sender
from tests.support.service import Service


async def filled(owner: Service, card: FormCard, message: str = "77", **typed: str) -> list[Output]:
    """What is shown for the form, filled in as a dialog."""
    values = {name: SecretStr(value) for name, value in typed.items()}
    place, sender = owner.place, Sender(owner.sender, owner.language)
    shown = owner.app.chat.dispatcher.submit_form(
        FormSubmission(place, sender, card.form.id, message, values)
    )
    return [output async for output in shown]

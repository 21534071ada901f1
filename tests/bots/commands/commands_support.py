"""What tests of commands share."""

from __future__ import annotations

from bots.chat.types import Answer, AnswerProgress, Card


def text_of(*outputs: object) -> str:
    """All that is written on screens and answers, buttons included."""
    words = []
    for output in outputs:
        if isinstance(output, Card):
            words += [output.title, *output.lines, *(cell for row in output.table for cell in row)]
            if output.attachment is not None:
                words.append(output.attachment.content.decode())
        if isinstance(output, Answer | AnswerProgress):
            words += [output.note, output.text, getattr(output, "footer", "")]
        if isinstance(output, Card | Answer | AnswerProgress):
            words += [button.label for row in output.buttons for button in row]
    return "\n".join(words)


def button(screen: Card | Answer, label: str) -> str:
    """The id behind a label."""
    found = [one.id for row in screen.buttons for one in row if label in one.label]
    assert found, (label, screen.buttons)
    return found[0]

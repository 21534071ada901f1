"""Buttons → Discord's components: rows of buttons, or menus when they are many; forms → dialogs.

Nothing waits in memory for a press: what was pressed is its id, so buttons outlive a restart.
"""

from __future__ import annotations

from typing import Final

from discord import ButtonStyle, SelectOption
from discord.ui import Button as UiButton, Label, Modal, Select, TextInput, View

from bots.chat.types import Button, ButtonRows, Form, without_copies
from bots.render.plain_text import to_one_line

ROWS_MAX: Final = 5
ROW_MAX: Final = 5
OPTIONS_MAX: Final = 25
ID_MAX: Final = 100
_BUTTON_LABEL_MAX: Final = 80
_OPTION_LABEL_MAX: Final = 100
#: What a button or a dialog of a form is named by, before the form's own id.
FORM_PREFIX: Final = "form:"
FIELDS_MAX: Final = 5
_TITLE_MAX: Final = 45
_FIELD_LABEL_MAX: Final = 45
_HINT_MAX: Final = 100


def build_view(buttons: ButtonRows) -> View | None:
    """The components of a message; None for none."""
    rows = without_copies(buttons)
    if not rows:
        return None
    view = View(timeout=None)
    # Stopped: the library keeps nothing of it.
    view.stop()
    all_buttons = [button for row in rows for button in row]
    assert all(b.url or b.sku or 0 < len(b.id) <= ID_MAX for b in all_buttons), "an id, not data"
    if len(rows) > ROWS_MAX or any(len(row) > ROW_MAX for row in rows):
        if len(all_buttons) > ROWS_MAX * ROW_MAX:
            _add_menus(view, rows)
            return view
        rows = tuple(
            tuple(all_buttons[start : start + ROW_MAX])
            for start in range(0, len(all_buttons), ROW_MAX)
        )
    for number, row in enumerate(rows):
        for button in row:
            view.add_item(_to_ui_button(button, number))
    return view


def _add_menus(view: View, rows: ButtonRows) -> None:
    """As many menus as it takes; a button alone in the last row (the way back) stays one."""
    alone = rows[-1][0] if len(rows[-1]) == 1 else None
    choices = [button for row in (rows[:-1] if alone else rows) for button in row]
    room = ROWS_MAX - 1 if alone else ROWS_MAX
    starts = range(0, min(len(choices), room * OPTIONS_MAX), OPTIONS_MAX)
    for number, start in enumerate(starts):
        page = choices[start : start + OPTIONS_MAX]
        options = [SelectOption(label=_clip_label(b, _OPTION_LABEL_MAX), value=b.id) for b in page]
        place = f"{start + 1}–{start + len(page)} / {len(choices)}"
        view.add_item(
            Select(custom_id=f"menu:{number}", placeholder=place, options=options, row=number)
        )
    if alone:
        view.add_item(_to_ui_button(alone, len(starts)))


def _to_ui_button(button: Button, row: int) -> UiButton[View]:
    if button.sku:
        # Discord writes name and price on it, and takes nothing else beside the SKU.
        return UiButton(style=ButtonStyle.premium, sku_id=int(button.sku), row=row)
    if button.url:
        return UiButton(
            style=ButtonStyle.link,
            label=_clip_label(button, _BUTTON_LABEL_MAX),
            url=button.url,
            row=row,
        )
    return UiButton(
        style=ButtonStyle.secondary,
        label=_clip_label(button, _BUTTON_LABEL_MAX),
        custom_id=button.id,
        row=row,
    )


def _clip_label(button: Button, max_length: int) -> str:
    return to_one_line(button.label)[:max_length] or "…"


def build_modal(form: Form) -> Modal:
    """A form as a dialog. Nothing waits in memory for its answer either."""
    assert 1 <= len(form.fields) <= FIELDS_MAX, "what a dialog holds"
    modal = Modal(title=to_one_line(form.title)[:_TITLE_MAX], custom_id=f"{FORM_PREFIX}{form.id}")
    # Stopped: the library keeps nothing of it.
    modal.stop()
    for field in form.fields:
        typed: TextInput[Modal] = TextInput(
            custom_id=field.name,
            required=field.least > 0,
            min_length=field.least,
            max_length=field.most,
        )
        modal.add_item(
            Label(
                text=to_one_line(field.label)[:_FIELD_LABEL_MAX],
                description=to_one_line(field.hint)[:_HINT_MAX] or None,
                component=typed,
            )
        )
    return modal

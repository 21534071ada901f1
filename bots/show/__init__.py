"""How an answer is shown anywhere: pacing, splitting, lanes, secrets known by shape, split pastes.

Adapters take what is said here about text and time, and add only their platform's calls.
"""

from __future__ import annotations

from bots.show.blocks import Block, Mark
from bots.show.clean import clean, one_line
from bots.show.entities import Entity, EntityStyle, Shown
from bots.show.footer import FOOTER_MARK, footer_lines
from bots.show.joining import Joining
from bots.show.keys import Found, find_secrets, without_secrets
from bots.show.lanes import LaneFull, Lanes
from bots.show.markdown import blocks_of
from bots.show.markup import MarkdownStyle
from bots.show.pacing import Budget, Budgets, NotShown, Showing, Wait
from bots.show.rendering import answer_pieces, progress_piece, screen_pieces
from bots.show.screen import (
    Answer,
    Attachment,
    Audio,
    Button,
    Buttons,
    Deliverer,
    Field,
    Filled,
    Form,
    FormCard,
    Front,
    Incoming,
    MenuItem,
    NotFetched,
    Output,
    Place,
    Platform,
    Press,
    Progress,
    Screen,
    Sender,
    Unlanded,
)
from bots.show.splitting import Piece, Style, split

__all__ = [
    "FOOTER_MARK",
    "Answer",
    "Attachment",
    "Audio",
    "Block",
    "Budget",
    "Budgets",
    "Button",
    "Buttons",
    "Deliverer",
    "Entity",
    "EntityStyle",
    "Field",
    "Filled",
    "Form",
    "FormCard",
    "Found",
    "Front",
    "Incoming",
    "Joining",
    "LaneFull",
    "Lanes",
    "Mark",
    "MarkdownStyle",
    "MenuItem",
    "NotFetched",
    "NotShown",
    "Output",
    "Piece",
    "Place",
    "Platform",
    "Press",
    "Progress",
    "Screen",
    "Sender",
    "Showing",
    "Shown",
    "Style",
    "Unlanded",
    "Wait",
    "answer_pieces",
    "blocks_of",
    "clean",
    "find_secrets",
    "footer_lines",
    "one_line",
    "progress_piece",
    "screen_pieces",
    "split",
    "without_secrets",
]

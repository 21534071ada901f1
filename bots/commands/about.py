"""What the bot says of itself on a platform's own pages."""

from __future__ import annotations

from bots.chat.reply import say

ABOUT = say(
    "Over forty language models in one chat, paid in Credits. Ask anything: write a message, or"
    " /ask with a model's name. You see the price before you choose, and what each answer cost"
    " under it. An answer that doesn't arrive costs nothing."
)
ABOUT_SHORT = say("Over forty language models in one chat, paid in Credits.")

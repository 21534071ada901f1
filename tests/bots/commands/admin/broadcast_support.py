"""What tests of broadcast share."""

from __future__ import annotations

from bots.chat.types import Card


class Chats:
    """A platform that shows what it is told to, but for those who blocked the bot."""

    def __init__(self, *blocked: str) -> None:
        self.blocked = set(blocked)
        self.shown: list[tuple[str, Card]] = []
        #: The messages whose place cards took, with their titles and numbers.
        self.replaced: list[tuple[str, str, str]] = []
        #: How many of them a test has looked at.
        self.read = 0

    async def notify_person(self, sender: str, card: Card, replace_message: str = "") -> None:
        if sender in self.blocked:
            raise ConnectionError
        if replace_message:
            self.replaced.append((sender, replace_message, card.lines[-2 if card.buttons else -1]))
        self.shown.append((sender, card))

    @property
    def told(self) -> list[str]:
        """Who read the news."""
        news = (sender for sender, card in self.shown if card.title == "📣 News")
        return sorted(news, key=int)

    def list_cards(self, title: str) -> list[Card]:
        return [card for _, card in self.shown if card.title == title]

"""`/paysupport`: one's payments, and words to the operators, who answer by a button."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, FormField, FormRequest, Phrase, Reply, plain, say
from bots.commands.topup import TopUpCommands
from core.jobs.notifications import Notification
from core.users.support import MESSAGE_CHARS_MAX, SupportDesk


@dataclass(frozen=True, slots=True)
class PaySupportArguments(Arguments):
    """What follows `/paysupport`."""

    text: str = argument(say("What you want to tell the operators"), say("your words"))


class SupportCommands:
    """The command by which people reach the operators, and the buttons by which those answer."""

    def __init__(self, *, support_desk: SupportDesk, top_up_commands: TopUpCommands) -> None:
        self._desk, self._top_up_commands = support_desk, top_up_commands

    @command(
        "paysupport",
        title=say("Payment support"),
        description=say("Your payments, and help with them"),
        arguments=PaySupportArguments,
    )
    async def paysupport(self, request: Request, given: PaySupportArguments) -> Reply:
        """Their orders, and whom to ask; with words behind it those go to the operators."""
        text = given.text.strip()
        if not text:
            return await self._top_up_commands.make_support_card(request)
        if not request.place.private:
            return Reply((say("Send me that in private: it's about your account."),))
        platform = request.place.platform
        await self._desk.send_question(
            request.person,
            f"{platform}:{request.sender}",
            text,
            cause=f"{request.place.code}/{request.message}",
        )
        return Reply(
            lines=(say("The operators have your message. Their answer comes here."),), private=True
        )

    async def make_operator_card(self, notification: Notification) -> Reply:
        """What somebody wrote, who it was, and the way to answer."""
        facts = notification.facts
        text = await self._desk.open_text(facts)
        person = str(facts["person"])
        return Reply(
            title=say("✉️ {person} asks for help", person=str(facts["identity"])),
            lines=_list_lines(text),
            choices=(
                (
                    Choice(say("Answer"), "support-answer", {"person": person}),
                    Choice(say("Their card"), "user", {"person": person}),
                ),
            ),
            private=True,
        )

    @action("support-answer", admin_only=True, support_allowed=True)
    async def answer(self, request: Request) -> FormRequest:
        """What an operator writes back."""
        return FormRequest(
            title=say("Answer"),
            lines=(say("What you write next goes to the person who asked."),),
            fields=(FormField("text", say("Answer"), max_length=MESSAGE_CHARS_MAX, hidden=False),),
            action="support-send",
            data={"person": str(request.data["person"]), "asked": request.button},
        )

    @action("support-send", admin_only=True, support_allowed=True)
    async def send_answer(self, request: Request) -> Reply:
        """It goes out, once a form."""
        text = request.entered["text"].get_secret_value().strip()
        cause = f"{request.place.code}/{request.message}/{request.button or request.at_ms}"
        await self._desk.send_answer(str(request.data["person"]), text, cause=cause)
        return Reply(lines=(say("Sent."),), private=True)


async def compose_support_answer(
    notification: Notification, desk: SupportDesk
) -> tuple[Phrase, tuple[Phrase, ...]]:
    """What the operators answer, as its person reads it."""
    text = await desk.open_text(notification.facts)
    return say("✉️ An answer from the operators"), (
        *_list_lines(text),
        say("To write back: /paysupport and your words."),
    )


def _list_lines(text: str) -> tuple[Phrase, ...]:
    if not text:
        return (say("That message has been erased."),)
    return tuple(plain(line) for line in text.split("\n"))

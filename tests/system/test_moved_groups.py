"""A group that becomes a supergroup is the same group to its people: the conversation goes on,
replies and buttons are known, limits hold; through the unmodified client.
"""

from __future__ import annotations

from core.admin_log import admin_log_row
from core.money import Credits
from core.users.limits import Allowance
from tests.peers.suppliers import Answer
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Message
from tests.system.world import World, briefs_world

WAS, NOW = -5, -1005


def sent(world: World) -> list[str]:
    """What the supplier got last."""
    return [each["content"] for each in world.openai.calls[-1].body["messages"]]


async def test_talk_replies_and_buttons_go_on(database_url: str, telegram: FakeTelegram) -> None:
    async with briefs_world(database_url, telegram) as world:
        ann, bob = telegram.user(7), telegram.user(8)
        telegram.group(WAS)
        world.openai.script(Answer("Blue light scatters."), Answer("They do."), Answer("At night."))
        first = await world.says(ann, "@credit_test_bot why is it blue?", "◈", chat=WAS)
        second = await world.says(ann, "@credit_test_bot do stars shine?", "◈", chat=WAS)
        telegram.upgrade(WAS, NOW)
        third = await world.says(ann, "@credit_test_bot when?", "◈", chat=NOW)
        assert third.id < first.id
        assert sent(world)[-3:] == ["do stars shine?", "They do.", "when?"]
        # A reply to an older answer leads on from there, wherever that stands.
        world.openai.script(Answer("By day."))
        telegram.says(ann, "@credit_test_bot and?", chat=NOW, reply_to=moved(first))
        await telegram.seen(NOW, "By day.\n\n◈")
        assert sent(world)[-3:] == ["why is it blue?", "Blue light scatters.", "and?"]
        # Buttons of before are their owner's, and nobody else's.
        calls = len(world.openai.calls)
        telegram.presses(bob, moved(second), "Again")
        await telegram.seen(NOW, "belongs to somebody else")
        assert len(world.openai.calls) == calls
        world.openai.script(Answer("Stars do."))
        telegram.presses(ann, moved(second), "Again")
        await telegram.seen(NOW, "Stars do.\n\n◈")
        assert sent(world)[-1] == "do stars shine?"
        # A card's buttons, too.
        telegram.says(ann, "/models@credit_test_bot", chat=NOW)
        await telegram.seen(NOW, "Models")


def moved(message: Message) -> Message:
    """A message of the old group, as it is seen in the new one."""
    return Message(message.id, NOW, message.sender, message.text, message.entities, message.buttons)


async def test_a_cards_buttons_work_where_it_moved_to(
    sqlite_url: str, telegram: FakeTelegram
) -> None:
    async with briefs_world(sqlite_url, telegram) as world:
        ann, bob = telegram.user(7), telegram.user(8)
        telegram.group(WAS)
        card = await world.says(ann, "/models@credit_test_bot", "Models", chat=WAS)
        telegram.upgrade(WAS, NOW)
        telegram.presses(bob, moved(card), card.labels[0])
        await telegram.seen(NOW, "belongs to somebody else")
        telegram.presses(ann, moved(card), card.labels[0])
        await telegram.seen(NOW, "GPT-4")


async def test_an_answer_that_is_being_written_lands_there(
    sqlite_url: str, telegram: FakeTelegram
) -> None:
    async with briefs_world(sqlite_url, telegram) as world:
        ann = telegram.user(7)
        telegram.group(WAS)
        gate = world.openai.hold()
        world.openai.script(Answer("Blue light scatters."))
        telegram.says(ann, "@credit_test_bot why?", chat=WAS)
        await world.openai.arrived(1)
        telegram.upgrade(WAS, NOW)
        gate.set()
        answer = await telegram.seen(NOW, "◈")
        # What landed there is known there: its buttons, and a reply to it.
        world.openai.script(Answer("Once more."))
        telegram.presses(ann, answer, "Again")
        await telegram.seen(NOW, "Once more")
        assert await world.of(ann).held() == Credits(0)


async def test_what_was_limited_stays_so(sqlite_url: str, telegram: FakeTelegram) -> None:
    async with briefs_world(sqlite_url, telegram) as world:
        ann = telegram.user(7)
        telegram.group(WAS)
        limits, clock = world.service.app.services.users.limits, world.service.clock
        row = admin_log_row(clock, actor="usr_owner", act="limit", before={}, after={})
        few = Allowance(per_minute=1)
        await limits.set_allowance(f"telegram:{WAS}", few, actor="usr_owner", companion=row)
        telegram.upgrade(WAS, NOW)
        await world.says(ann, "@credit_test_bot why?", "◈", chat=NOW)
        assert limits.get_override(f"telegram:{NOW}") == few
        telegram.says(ann, "@credit_test_bot and?", chat=NOW)
        await telegram.seen(NOW, "Nothing was charged")
        # Told again, it changes nothing.
        more = Allowance(per_minute=9)
        row = admin_log_row(clock, actor="usr_owner", act="limit", before={}, after={})
        await limits.set_allowance(f"telegram:{NOW}", more, actor="usr_owner", companion=row)
        telegram.upgrade(WAS, NOW)
        await world.says(ann, "why?", "◈")
        assert limits.get_override(f"telegram:{NOW}") == more

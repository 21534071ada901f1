"""What a person is told without having asked, and cards that lead out of the chat."""

from __future__ import annotations

from bots.chat.types import Button, Card
from bots.discord.adapter import DiscordAdapter
from tests.bots.discord.scripted import DiscordFront
from tests.peers.discord import FakeDiscord


async def test_a_notice_takes_the_place_of_a_card_where_that_can_be_changed(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    await discord.notify_person("7", Card(lines=("an order",)))
    card = await fake.seen(fake.dm(ann), "an order")
    await discord.notify_person("7", Card(lines=("paid",)), replace_message=str(card.id))
    assert card.content == "paid"
    # What only one person saw in a server is gone: it is said anew.
    await discord.notify_person("7", Card(lines=("paid too",)), replace_message="999")
    assert (await fake.seen(fake.dm(ann), "paid too")).id != card.id


async def test_a_button_may_lead_to_a_page(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    pay = Button("", "Pay", "https://pay.example/1")
    await discord.notify_person("7", Card(lines=("an order",), buttons=((pay,),)))
    card = await fake.seen(fake.dm(ann), "an order")
    assert card.choices == [("Pay", "https://pay.example/1", None)]


async def test_the_install_link_brings_friends(fake: FakeDiscord, discord: DiscordAdapter) -> None:
    link = discord.build_invitation_link("ref_ABC")
    assert link == f"https://discord.com/oauth2/authorize?client_id={fake.bot.id}"

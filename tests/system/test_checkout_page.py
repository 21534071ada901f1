"""The sandbox's checkout page in a real browser: who pays there sees the Credits in the chat.

Needs a Chromium on the machine (`.ci/run` sees to it); without one these tests are skipped.
`CREDITBOT_TEST_PICTURES=docs/pictures` keeps what the browser saw, for the README.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from core.money import Credits
from tests.system.buying_support import market

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

#: No sandbox of its own inside a container, and nothing that calls home.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield await chromium.new_page(viewport={"width": 480, "height": 640})
        finally:
            await chromium.close()


async def kept(page: Page, name: str) -> None:
    if folder := os.environ.get("CREDITBOT_TEST_PICTURES"):
        await page.screenshot(path=Path(folder) / name)


async def test_who_pays_in_a_browser_sees_the_credits_in_the_chat(sqlite_url: str) -> None:
    async with market(sqlite_url) as shop, browser() as page:
        order, url = await shop.order("Pro")
        await page.goto(url)
        await expect(page.locator(".sum")).to_have_text("$90.00")
        await kept(page, "checkout.png")
        await page.click("#pay")
        await expect(page.locator("#state")).to_contain_text("paid")
        await kept(page, "paid.png")
        card = await shop.hears()
        assert card.title == "✅ Paid"
        assert "10,000 Credits have arrived." in card.lines
        assert await shop.tom.credits() == Credits(10_000)
        assert order in str(card.lines)


async def test_declined_then_paid_then_given_back_in_a_browser(sqlite_url: str) -> None:
    async with market(sqlite_url) as shop, browser() as page:
        _, url = await shop.order("Starter")
        await page.goto(url)
        await page.click("#decline")
        await expect(page.locator("#state")).to_contain_text("declined")
        assert "didn't arrive" in (await shop.hears()).title
        await page.click("#pay")
        await expect(page.locator("#state")).to_contain_text("paid")
        assert (await shop.hears()).title == "✅ Paid"
        assert await shop.tom.credits() == Credits(1_000)
        await page.click("#refund")
        await expect(page.locator("#state")).to_contain_text("given back")
        assert (await shop.hears()).title == "Payment given back"
        assert await shop.tom.credits() == Credits(0)


async def test_messages_are_lost_and_withdrawing_is_shown_in_a_browser(sqlite_url: str) -> None:
    async with market(sqlite_url) as shop, browser() as page:
        _, url = await shop.order("Starter")
        await page.goto(url)
        await page.click("#lose-message")
        await expect(page.locator(".note").nth(1)).to_contain_text("will be lost")
        await page.click("#pay")
        await expect(page.locator("#state")).to_contain_text("paid")
        assert await shop.tom.credits() == Credits(0)
        await page.click("#withdraw")
        await expect(page.locator(".note").nth(1)).to_contain_text("/paysupport")
        await page.click("#dispute")
        await page.click("#lose")
        await page.click("#reopen")
        await page.click("#win")
        await expect(page.locator("#state")).to_contain_text("the shop keeps the money")
        assert (await shop.hears()).title == "✅ Paid"

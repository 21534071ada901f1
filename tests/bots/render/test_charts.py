"""Charts in every language: no sign is missing, whatever fonts the system has."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import resources

import pytest
from fontTools.ttLib import TTFont

from bots.chat.i18n import LANGUAGES, load_translations, render
from bots.chat.reply import say
from bots.render import charts
from bots.render.charts import ReportChartData, draw_earnings_chart, draw_report_chart
from core.clock import DAY_MS

START_MS = 20_000 * DAY_MS


@pytest.fixture(params=["the system's fonts", "no Chinese font"])
def fonts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "no Chinese font":
        monkeypatch.setattr(charts, "_CHINESE_FAMILIES", ())
    charts._load_figures.cache_clear()
    yield
    charts._load_figures.cache_clear()


def report_data(language: str) -> ReportChartData:
    """A report in that language."""

    def word(text: str) -> str:
        return render(say(text), language)

    return ReportChartData(
        title=(
            word("Report · {period}").replace("{period}", "2024-10-04 – 2024-10-10"),
            word("User layer: balance {balance} Credits, revenue {credits} Credits"),
            word("System layer: cost {cost}, revenue at par {revenue}, profit {profit}"),
        ),
        days=tuple((START_MS + n * DAY_MS, 1_000 + 400 * n, 700 + 90 * n) for n in range(7)),
        costs=(("OpenAI", 123_400), ("Anthropic", 56_700), ("Cloudflare", 8_900)),
        margins=(("GPT-6.1 Sol", 66), ("Claude Sonnet 5.5", 60), ("Llama 3.3 70B", -10)),
        keys=(("OpenAI …-500", 4_500, 45_500), ("Groq …0000", 0, 5_000)),
        panels=(
            word("Revenue at par and cost"),
            word("Cost by supplier"),
            word("Profit on cost"),
            word("What keys have left"),
        ),
        lines=(word("Revenue at par"), word("Cost")),
    )


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_sign_is_missing_in_any_chart(language: str, fonts: None) -> None:
    import matplotlib.image

    # A sign that no font has is a warning of the library's, and warnings fail tests.
    pictures = [
        await draw_report_chart(report_data(language)),
        await draw_earnings_chart(
            [(START_MS + n * DAY_MS, 9_000 * n) for n in range(30)],
            title=render(say("What your keys earned"), language),
            unit=render(say("Credits"), language),
        ),
    ]
    for picture in pictures:
        assert matplotlib.image.imread(io.BytesIO(picture), format="png").std() > 0.01


async def test_a_sign_that_no_font_has_would_be_seen(fonts: None) -> None:
    with pytest.raises(UserWarning, match="missing from font"):
        await draw_earnings_chart([(START_MS, 1)], title="\u9f98\U00020000", unit="")


def test_the_font_that_ships_has_every_chinese_sign_of_the_translations() -> None:
    with resources.as_file(resources.files("bots.render").joinpath(charts.SHIPPED_FONT)) as path:
        known = TTFont(path).getBestCmap()
        assert path.stat().st_size < 200_000
    wanted = {
        sign
        for language in LANGUAGES
        for forms in load_translations(language).forms.values()
        for sign in "".join(forms)
        if "\u3000" <= sign <= "\u9fff" or "\uff00" <= sign <= "\uffef"
    }
    missing = sorted(sign for sign in wanted if ord(sign) not in known)
    assert missing == [], "make chart-font renews it"
    licence = resources.files("bots.render").joinpath("chart_font_license.txt").read_text()
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence

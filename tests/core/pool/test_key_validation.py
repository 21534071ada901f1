"""What a key is good for, asked by real calls; and what suppliers tell in headers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.money import parse_usd
from core.pool.key_validation import KeyValidator, ValidationResult
from core.pool.providers import http
from core.pool.providers.accounts import AccountInfo, fetch_account
from core.pool.providers.limits import parse_rate_limit
from core.pool.providers.types import CallTarget, RateLimitInfo, SupplierFault
from core.pool.suppliers import SUPPLIERS, Supplier, find_forbidden_kind, guess_suppliers
from core.pool.types import KeyRefused
from tests.peers.suppliers import ACCOUNT, Answer, FakeSupplier, Hang, Refuse
from tests.support import brief
from tests.support.databases import TestClock

KEY = SecretStr("sk-proj-canary-00000001")


@pytest_asyncio.fixture
async def openai() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=["gpt-4", "whisper-1", "unknown-9"]) as fake:
        fake.allow(KEY.get_secret_value())
        yield fake


def supplier(fake: FakeSupplier, **changes: object) -> Supplier:
    return replace(SUPPLIERS["openai"], base_url=fake.url, **changes)  # type: ignore[arg-type]


async def examined(client: http.SupplierClient, at: Supplier) -> ValidationResult:
    examiner = KeyValidator(catalogue=brief.catalogue(), costs=brief.costs(), clock=TestClock())
    return await examiner.validate_key(client, at, KEY, "")


async def test_models_an_answer_and_whose_account(
    client: http.SupplierClient, openai: FakeSupplier
) -> None:
    openai.organisations[KEY.get_secret_value()] = "org-bob"
    found = await examined(client, supplier(openai))
    assert found == ValidationResult(frozenset({"gpt-4"}), None, "org-bob")
    assert len(openai.calls) == 1
    assert openai.calls[0].body["max_completion_tokens"] == 16


async def test_what_is_left_where_the_supplier_tells_it(
    client: http.SupplierClient, openai: FakeSupplier
) -> None:
    openai.balances[KEY.get_secret_value()] = "500.00"
    url = f"{openai.url}/user/balance"
    found = await examined(client, supplier(openai, account_api="deepseek", account_url=url))
    assert found.remaining_cash == parse_usd("500")


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refuse(401, code="invalid_api_key"), "refused"),
        (Refuse(429, code="insufficient_quota", type="insufficient_quota"), "no_money"),
        (Refuse(429, code="rate_limit_exceeded"), "unreachable"),
        (Refuse(500), "unreachable"),
        (Refuse(404, code="model_not_found"), "no_model"),
    ],
)
async def test_what_a_test_call_brings_to_light(
    client: http.SupplierClient, openai: FakeSupplier, refusal: Refuse, reason: str
) -> None:
    openai.always(refusal)
    with pytest.raises(KeyRefused) as refused:
        await examined(client, supplier(openai))
    assert refused.value.reason == reason
    assert KEY.get_secret_value() not in repr(refused.value)


async def test_a_key_that_lists_nothing_on_sale(client: http.SupplierClient) -> None:
    async with FakeSupplier("openai", models=["tts-9"]) as fake:
        fake.allow(KEY.get_secret_value())
        with pytest.raises(KeyRefused) as refused:
            await examined(client, supplier(fake))
    assert refused.value.reason == "no_model"
    assert fake.calls == []


async def test_the_next_model_is_tried_when_one_may_not_be_used(
    client: http.SupplierClient,
) -> None:
    anthropic = SUPPLIERS["anthropic"]
    async with FakeSupplier("anthropic", models=["claude-3"]) as fake:
        fake.allow("sk-ant-api03-canary-0001")
        fake.organisations["sk-ant-api03-canary-0001"] = "org-ann"
        examiner = KeyValidator(catalogue=brief.catalogue(), costs=brief.costs(), clock=TestClock())
        at = replace(anthropic, base_url=fake.url)
        found = await examiner.validate_key(client, at, SecretStr("sk-ant-api03-canary-0001"), "")
    assert found.organisation == "org-ann"


async def test_cloudflare_is_known_by_its_account(client: http.SupplierClient) -> None:
    async with FakeSupplier("cloudflare", models=["@cf/meta/llama-3-8b-instruct"]) as fake:
        fake.allow("cfut_canary_0123456789012345")
        examiner = KeyValidator(catalogue=brief.catalogue(), costs=brief.costs(), clock=TestClock())
        at = replace(SUPPLIERS["cloudflare"], base_url=fake.url)
        key = SecretStr("cfut_canary_0123456789012345")
        found = await examiner.validate_key(client, at, key, ACCOUNT)
        assert found.organisation == ACCOUNT
        with pytest.raises(KeyRefused) as refused:
            await examiner.validate_key(client, at, key, "")
    assert refused.value.reason == "account"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("sk-admin-0123456789", "admin"),
        ("sk-ant-admin01-0123456789", "admin"),
        ("sk-ant-oat01-0123456789", "subscription"),
        ("sk-proj-0123456789", None),
    ],
)
def test_keys_of_organisations_and_subscriptions_are_known(key: str, reason: str | None) -> None:
    assert find_forbidden_kind(key) == reason


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("sk-ant-api03-0123456789", ("anthropic",)),
        ("sk-proj-0123456789", ("openai",)),
        ("AIzaSy0123456789", ("google",)),
        ("gsk_0123456789", ("groq",)),
        ("xai-0123456789", ("xai",)),
        ("cfut_0123456789", ("cloudflare",)),
    ],
)
def test_a_marked_key_is_its_suppliers(key: str, names: tuple[str, ...]) -> None:
    assert guess_suppliers(key, SUPPLIERS) == names


def test_an_unmarked_key_may_be_of_several_and_never_of_one_that_marks_its_own() -> None:
    names = guess_suppliers("sk-" + "0123456789abcdef" * 2, SUPPLIERS)
    assert {"openai", "deepseek", "moonshot"} <= set(names)
    assert not {"anthropic", "groq", "xai", "google"} & set(names)
    assert guess_suppliers("sk-proj-0123456789", {"groq": SUPPLIERS["groq"]}) == ()


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, None),
        ({"openai-organization": "org-1"}, RateLimitInfo("org-1", 0.0)),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1m30.5s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "120ms",
            },
            RateLimitInfo("", 90.5),
        ),
        ({"x-ratelimit-remaining-tokens": "12", "x-ratelimit-reset-tokens": "6s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9d"}, 3_600.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "soon"}, None),
        ({"x-ratelimit-remaining-requests": "-1"}, None),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2999-01-01T00:00:00Z",
            },
            3_600.0,
        ),
    ],
)
def test_what_headers_tell(
    headers: Mapping[str, str], limits: RateLimitInfo | float | None
) -> None:
    expected = RateLimitInfo("", limits) if isinstance(limits, float) else limits
    assert parse_rate_limit(headers) == expected


@pytest.mark.parametrize(
    ("tells", "body", "info"),
    [
        ("deepseek", '{"is_available":true,"balance_infos":[]}', AccountInfo()),
        (
            "deepseek",
            (
                '{"balance_infos":[{"currency":"CNY","total_balance":"110.00"},'
                '{"currency":"USD","total_balance":"2.50"}]}'
            ),
            AccountInfo(parse_usd("2.5")),
        ),
        (
            "moonshot",
            '{"code":0,"data":{"available_balance":49.58}}',
            AccountInfo(parse_usd("49.58")),
        ),
        ("moonshot", '{"code":0,"data":{"available_balance":-1}}', AccountInfo(parse_usd("0"))),
        ("moonshot", '{"code":0,"data":{"available_balance":"NaN"}}', AccountInfo()),
        ("xai", '{"team_id":"t1","team_blocked":false}', AccountInfo(organisation="t1")),
        ("xai", '{"team_id":"t1","team_blocked":true}', None),
        ("", "", AccountInfo()),
    ],
)
async def test_what_accounts_tell(
    client: http.SupplierClient, tells: str, body: str, info: AccountInfo | None
) -> None:
    async with FakeSupplier("openai") as fake:
        fake.listing = Refuse(200, body=body.encode())
        target = CallTarget(fake.url, KEY)
        url = f"{fake.url}/models"
        if info is None:
            with pytest.raises(SupplierFault):
                await fetch_account(client, "xai", url, target)
            return
        assert await fetch_account(client, tells, url, target) == info  # type: ignore[arg-type]


async def test_nothing_of_a_key_is_told_when_nobody_answers(
    client: http.SupplierClient, openai: FakeSupplier
) -> None:
    openai.listing = Refuse(503, message=f"no {KEY.get_secret_value()}")
    openai.always(Hang())
    with pytest.raises(KeyRefused) as refused:
        await examined(client, supplier(openai))
    assert refused.value.__cause__ is None
    assert refused.value.reason == "unreachable"


async def test_limits_come_first_and_only_where_they_are_told(
    client: http.SupplierClient, openai: FakeSupplier
) -> None:
    openai.script(Answer("ok", headers={"x-ratelimit-remaining-requests": "0"}))
    assert (await examined(client, supplier(openai))).organisation == ""

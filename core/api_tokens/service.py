"""Tokens by which programs ask in a person's name: made, changed, revoked, and known again.

Of a secret a keyed digest alone is kept; it is shown once, to whoever made it. What a process has
verified it believes for five seconds, so a revocation counts at once where it was made and within
five seconds everywhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import unicodedata
from collections.abc import Sequence
from typing import Final

from cachetools import TTLCache
from pydantic import SecretStr

from core import ids
from core.api_tokens.caps import as_day_number
from core.api_tokens.repository import TokenRepository
from core.api_tokens.secret_form import (
    find_secret,
    generate_secret,
    is_well_formed,
    shorten_secret,
)
from core.api_tokens.types import (
    API_PASTE_FOUND,
    API_SHOWN_ONCE,
    DEFAULT_PER_DAY,
    LIFETIME_DAYS,
    MODELS_MAX,
    NAME_CHARS_MAX,
    NETWORKS_MAX,
    PER_DAY_MAX,
    SHOWN_SECONDS,
    TOKENS_MAX,
    ApiToken,
    BadNetwork,
    BadTokenName,
    InvalidToken,
    NetworkNotAllowed,
    TokensPaused,
    TooManyTokens,
    UnknownToken,
)
from core.api_tokens.uses import TokenUseRecorder, parse_address
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Companion, Insert, Update, UpdateAll
from core.ledger.ledger import Ledger
from core.money import Credits
from core.notification import Facts, cancel_notification, make_lasting, notification_row
from core.pool.vault import Vault

#: What was verified is believed for so long.
VERIFIED_SECONDS: Final = 5.0
_VERIFIED_MAX: Final = 10_000
_DAYS_REMEMBERED_MAX: Final = 50_000


class ApiTokens:
    """Makes, changes and revokes people's tokens, and tells whose a secret is."""

    def __init__(self, *, ledger: Ledger, vault: Vault) -> None:
        self._ledger, self._clock, self._vault = ledger, ledger.clock, vault
        self._repository = TokenRepository(ledger.db)
        self._uses = TokenUseRecorder(ledger=ledger, vault=vault, repository=self._repository)
        timer = ledger.clock.monotonic
        self._verified: TTLCache[bytes, ApiToken] = TTLCache(
            maxsize=_VERIFIED_MAX, ttl=VERIFIED_SECONDS, timer=timer
        )
        #: Grows with each change here: what was read before one is not believed after it.
        self._generation = 0
        self._prepared: TTLCache[tuple[str, int], bool] = TTLCache(
            maxsize=_DAYS_REMEMBERED_MAX, ttl=DAY_MS / 1000, timer=timer
        )
        #: Two that are made at once here are counted one after the other.
        self._creation = asyncio.Lock()

    # --- what people do -----------------------------------------------------------------------

    async def create_token(self, person: str, name: str) -> tuple[ApiToken, SecretStr]:
        """A new token and its secret, which is nowhere to be read later; raises `BadTokenName`,
        `TooManyTokens`, `TokensPaused`."""
        name, secret = _clean_name(name), generate_secret()
        async with self._creation:
            now = self._clock.now_ms()
            pause = await self._repository.get_pause(person)
            if pause > now:
                raise TokensPaused(pause)
            if len(await self._repository.list_live(person, now)) >= TOKENS_MAX:
                raise TooManyTokens
            token = ApiToken(
                id=ids.new_id("tok", now),
                person=person,
                name=name,
                label=shorten_secret(secret),
                created_at=now,
                expires_at=now + LIFETIME_DAYS * DAY_MS,
                last_used_at=None,
                per_day=DEFAULT_PER_DAY,
                models=(),
                networks=(),
            )
            unchanged = {"until": pause}
            if not await self._ledger.try_record(
                Insert(schema.api_pause, {"person": person, **unchanged}, ignore=True),
                # Their chats may have been linked or parted just now.
                Update(schema.api_pause, {"person": person}, unchanged, unchanged),
                self._build_insert(token, secret),
            ):
                raise TokensPaused(await self._repository.get_pause(person))
        return token, SecretStr(secret)

    async def schedule_hiding(self, token: ApiToken, place: str, message: str) -> None:
        """After ten minutes something else takes the place of the message that shows a secret."""
        shown = {"place": place, "message": message}
        row = self._build_notification(
            token, API_SHOWN_ONCE, "shown", shown, delay_ms=SHOWN_SECONDS * 1000
        )
        await self._ledger.record(make_lasting(row))

    async def cancel_hiding(self, token: ApiToken) -> None:
        """Its secret isn't shown any more."""
        row = self._build_notification(token, API_SHOWN_ONCE, "shown", {})
        await self._ledger.record(cancel_notification(row.row["id"]))

    async def list_tokens(self, person: str) -> list[ApiToken]:
        """A person's tokens that are neither revoked nor expired, the oldest first."""
        return await self._repository.list_live(person, self._clock.now_ms())

    async def list_all_tokens(self, person_ids: Sequence[str]) -> list[tuple[ApiToken, int | None]]:
        """All tokens that people ever made, each with when it was revoked, for export."""
        return await self._repository.list_all(person_ids)

    async def get_token(self, person: str, token: str) -> ApiToken:
        """One of a person's own that lives; raises `UnknownToken`."""
        for one in await self.list_tokens(person):
            if one.id == token:
                return one
        raise UnknownToken

    async def rename_token(self, person: str, token: str, name: str) -> ApiToken:
        """Another name; raises `BadTokenName`, `UnknownToken`."""
        return await self._change_token(person, token, name=_clean_name(name))

    async def set_day_cap(self, person: str, token: str, per_day: Credits) -> ApiToken:
        """What it may spend in a UTC day, from now on; raises `UnknownToken`."""
        assert Credits(0) < per_day <= PER_DAY_MAX
        return await self._change_token(person, token, per_day=per_day.units)

    async def set_models(self, person: str, token: str, models: Sequence[str]) -> ApiToken:
        """The ids of the models that it is for, none: all; raises `UnknownToken`."""
        assert len(models) <= MODELS_MAX
        assert all(model.split() == [model] for model in models)
        return await self._change_token(person, token, models=" ".join(dict.fromkeys(models)))

    async def set_networks(self, person: str, token: str, networks: Sequence[str]) -> ApiToken:
        """The networks or addresses that it may be used from, none: all; raises `BadNetwork`,
        `UnknownToken`."""
        read = list(dict.fromkeys(map(_read_network, networks)))
        if len(read) > NETWORKS_MAX:
            raise BadNetwork(read[NETWORKS_MAX])
        return await self._change_token(person, token, networks=" ".join(read))

    async def revoke_token(self, person: str, token: str) -> None:
        """It opens nothing any more; raises `UnknownToken`."""
        await self._change_token(person, token, revoked_at=self._clock.now_ms())

    async def revoke_all(self, person: str) -> None:
        """None of a person's tokens opens anything any more."""
        where = {"person": person, "revoked_at": None}
        ended = {"revoked_at": self._clock.now_ms()}
        await self._ledger.record(UpdateAll(schema.api_token, where, ended))
        self.forget_verified()

    async def revoke_found_token(self, token_id: str, finder: str) -> bool:
        """Ends a token whose secret somebody has come by; its person is told, unless they found it
        themselves. False when it has ended already."""
        uses = await self._repository.find_uses(token_id)
        if uses is None:
            return False
        ended = {"revoked_at": self._clock.now_ms()}
        rows: list[Companion] = [
            Update(schema.api_token, {"id": token_id}, ended, {"revoked_at": None})
        ]
        if finder != uses.token.person:
            rows.append(self._build_notification(uses.token, API_PASTE_FOUND, "found", {}))
        is_revoked = await self._ledger.try_record(*rows)
        self.forget_verified()
        return is_revoked

    # --- what programs do ---------------------------------------------------------------------

    async def authenticate(self, secret: str, address: str) -> ApiToken:
        """Whose secret it is, for a request from an address; raises `InvalidToken`,
        `NetworkNotAllowed`."""
        token = await self.find_by_secret(secret)
        if token is None:
            raise InvalidToken
        if token.networks:
            parsed = parse_address(address)
            networks = map(ipaddress.ip_network, token.networks)
            if parsed is None or not any(parsed in network for network in networks):
                raise NetworkNotAllowed
        return token

    async def find_by_secret(self, secret: str) -> ApiToken | None:
        """The live token that a secret belongs to."""
        if not is_well_formed(secret):
            return None
        digest = self._digest(secret)
        token = self._verified.get(digest)
        if token is None:
            generation = self._generation
            token = await self._repository.find_by_digest(digest)
            if token is not None and generation == self._generation:
                self._verified[digest] = token
        if token is None or token.expires_at <= self._clock.now_ms():
            return None
        return token

    async def measure_day(self, token: str, day: int | None = None) -> Credits:
        """What a token's asks of a UTC day (by its number; today unless given) were charged, and
        hold."""
        if day is None:
            day = as_day_number(self._clock.now_ms())
        return await self._repository.measure_spending(token, day)

    async def prepare_day(self, token: str, day: int) -> None:
        """Makes the row in which a token's day is counted, where there is none."""
        if (token, day) in self._prepared:
            return
        row = {"token": token, "day": day, "credits": 0}
        await self._ledger.record(Insert(schema.api_spending, row, ignore=True))
        self._prepared[token, day] = True

    async def delete_old_days(self) -> None:
        """A job: deletes what was spent on days that no cap reads any more."""
        today = as_day_number(self._clock.now_ms())
        if rows := await self._repository.plan_old_days_deletion(today):
            await self._ledger.record(*rows)

    async def record_use(self, token: ApiToken, address: str) -> None:
        """Records a use, and has its person told of the first one, of one from another network, and
        that half of the day's cap is used. Most uses write nothing."""
        await self._uses.record_use(token, address)

    def forget_verified(self) -> None:
        """Believes nothing any more that was read before: tokens ended, or changed, here."""
        self._generation += 1
        self._verified.clear()

    # --- helpers --------------------------------------------------------------------------------

    async def _change_token(self, person: str, token: str, **change: int | str) -> ApiToken:
        before = await self.get_token(person, token)
        own = {"person": person, "revoked_at": None}
        changed = await self._ledger.try_record(
            Update(schema.api_token, {"id": token}, change, own)
        )
        self.forget_verified()
        if not changed:
            raise UnknownToken
        if "revoked_at" in change:
            return before
        return await self.get_token(person, token)

    def _build_insert(self, token: ApiToken, secret: str) -> Insert:
        row = {
            "id": token.id,
            "person": token.person,
            "name": token.name,
            "digest": self._digest(secret),
            "label": token.label,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "per_day": token.per_day.units,
            "models": "",
            "networks": "",
            "seen_networks": "",
        }
        return Insert(schema.api_token, row)

    def _build_notification(
        self, token: ApiToken, kind: str, cause: str, more: Facts, *, delay_ms: int = 0
    ) -> Insert:
        return notification_row(
            self._clock,
            cause_id=f"api/{token.id}/{cause}",
            person=token.person,
            kind=kind,
            facts={"token": token.id, "name": token.name, "label": token.label, **more},
            delay_ms=delay_ms,
            once=True,
        )

    def _digest(self, secret: str) -> bytes:
        return self._vault.fingerprint("api token", secret)


def _clean_name(typed: str) -> str:
    """A name in one line, without signs that nobody sees; raises `BadTokenName`."""
    name = " ".join(typed.split())
    is_visible = all(unicodedata.category(sign)[0] != "C" for sign in name)
    if not 1 <= len(name) <= NAME_CHARS_MAX or not is_visible or find_secret(name):
        raise BadTokenName
    return name


def _read_network(typed: str) -> str:
    """A network as it is kept: `192.0.2.7/24` → `192.0.2.0/24`; raises `BadNetwork`."""
    try:
        return str(ipaddress.ip_network(typed.strip(), strict=False))
    except ValueError:
        raise BadNetwork(typed) from None

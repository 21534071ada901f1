"""`/api`: tokens by which a person's programs ask in their name. A secret is shown once, in
private, and nothing that is said later can show it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bots.chat.command import Request, action, command
from bots.chat.reply import (
    Choice,
    FormField,
    FormRequest,
    Phrase,
    Reply,
    make_copy_choice,
    plain,
    say,
    say_count,
)
from bots.commands.arguments import parse_number
from bots.commands.errors import SecretSent, UsageError, explain_refusal
from bots.commands.text import format_credits, join_names
from bots.render.secret_scan import find_secrets
from core.api_tokens.service import ApiTokens
from core.api_tokens.types import (
    DEFAULT_PER_DAY,
    LIFETIME_DAYS,
    MODELS_MAX,
    NAME_CHARS_MAX,
    PER_DAY_MAX,
    ApiToken,
)
from core.clock import as_datetime
from core.money import Credits
from core.pricing.catalogue import Catalogue

#: Caps that are offered; any other is typed.
_CAPS_OFFERED: Final = (Credits(100), Credits(1_000), Credits(10_000))
#: What ends a list of models or networks: all are allowed again.
_ALL: Final = "all"
_IN_PRIVATE: Final = say("Send me that in private: it's about your account.")
_HOW_CAP: Final = say("Write a number of Credits, like 500. Nothing was changed.")


class ApiTokenCommands:
    """The command by which people make tokens for their programs, keep them small and end them."""

    def __init__(self, *, api_tokens: ApiTokens, catalogue: Catalogue, base_url: str) -> None:
        """`base_url` is where programs reach the API."""
        self._tokens, self._catalogue, self._base_url = api_tokens, catalogue, base_url

    # --- looking --------------------------------------------------------------------------------

    @command(
        "api",
        title=say("API"),
        description=say("Tokens by which your programs ask"),
    )
    @action("api")
    async def api(self, request: Request) -> Reply:
        """All tokens that live, and the way to a new one."""
        if not request.place.private:
            return Reply((_IN_PRIVATE,))
        reply = await self._list_card(request)
        return replace(reply, replace=bool(request.button))

    async def _list_card(self, request: Request, *first_lines: Phrase) -> Reply:
        tokens = await self._tokens.list_tokens(request.person.id)
        new = (Choice(say("Make a token"), "api-new"),)
        address = self._describe_address()
        if not tokens:
            about = say("By a token your programs ask in your name, for your Credits.")
            return Reply(
                title=say("API tokens"),
                lines=(*first_lines, about, address),
                choices=(new,),
                private=True,
            )
        rows = tuple(
            (
                plain(token.name),
                plain(token.label),
                say("{amount}", amount=token.per_day),
                _format_last_use(token),
                plain(_format_day(token.expires_at)),
            )
            for token in tokens
        )
        heading = (say("Name"), say("Token"), say("A day"), say("Last used"), say("Until"))
        choices = [(Choice(plain(one.name), "api-token", {"token": one.id}),) for one in tokens]
        return Reply(
            title=say("API tokens"),
            table=(heading, *rows),
            lines=(*first_lines, address),
            choices=(*choices, new),
            private=True,
        )

    def _describe_address(self) -> Phrase:
        return say(
            "Base URL: {openai} for OpenAI's clients, {anthropic} for Anthropic's",
            openai=f"{self._base_url}/v1",
            anthropic=self._base_url,
        )

    @action("api-token")
    async def api_token(self, request: Request) -> Reply:
        """One of them."""
        return await self._token_card(await self._get_own_token(request))

    async def _token_card(self, token: ApiToken) -> Reply:
        used = await self._tokens.measure_day(token.id)
        data: dict[str, str | int] = {"token": token.id}
        names = join_names(self._catalogue.get_name(one) for one in token.models)
        caps = tuple(
            Choice(
                say("{amount} a day", amount=cap),
                "api-cap",
                {**data, "credits": cap.units},
            )
            for cap in _CAPS_OFFERED
            if cap != token.per_day
        )
        return Reply(
            title=plain(token.name),
            lines=(
                plain(token.label),
                say(
                    "Today {used} of {cap} are used or held (the day is UTC's)",
                    used=used,
                    cap=format_credits(token.per_day),
                ),
                say("Good until {day}", day=_format_day(token.expires_at)),
                say("Last used: {at}", at=_format_last_use(token)),
                say("Models: {names}", names=names if token.models else say("all")),
                say(
                    "Networks: {names}",
                    names=join_names(token.networks) if token.networks else say("all"),
                ),
            ),
            choices=(
                (
                    Choice(say("Rename"), "api-name", data),
                    Choice(say("Models"), "api-models", data),
                    Choice(say("Networks"), "api-networks", data),
                ),
                (*caps, Choice(say("Another cap"), "api-cap-other", data)),
                (Choice(say("Revoke"), "api-revoke", data),),
                (Choice(say("‹ Back"), "api"),),
            ),
            private=True,
            replace=True,
        )

    # --- making ---------------------------------------------------------------------------------

    @action("api-new")
    async def api_new(self, request: Request) -> Reply:
        """What a token can do; a second tap makes it."""
        del request
        return Reply(
            title=say("Make a token"),
            lines=(
                say(
                    "Whoever has it asks models in your name: at most {cap} a day, which you can"
                    " change. It can't see your chats, buy, withdraw or change anything.",
                    cap=format_credits(DEFAULT_PER_DAY),
                ),
                say_count(
                    "It is good for {count} day, unless you revoke it before.",
                    "It is good for {count} days, unless you revoke it before.",
                    LIFETIME_DAYS,
                ),
                say("It is shown once. Keep it where you keep passwords, never in code."),
            ),
            choices=(
                (
                    Choice(say("Make it"), "api-new-now", once=True),
                    Choice(say("Cancel"), "api"),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("api-new-now")
    async def api_new_now(self, request: Request) -> Reply:
        """The token, this once."""
        person = request.person.id
        taken = {one.name for one in await self._tokens.list_tokens(person)}
        numbers = (f"token {number}" for number in range(1, len(taken) + 2))
        token, secret = await self._tokens.create_token(
            person, next(name for name in numbers if name not in taken)
        )
        text = secret.get_secret_value()
        # The card takes the place of the one whose button was pressed.
        await self._tokens.schedule_hiding(token, request.place.code, request.message)
        return Reply(
            title=say("Your token: {name}", name=token.name),
            lines=(
                plain(text),
                self._describe_address(),
                say(
                    "I can't show it again. When you have it in a safe place, press Saved: then it"
                    " leaves this chat. After ten minutes it goes by itself."
                ),
            ),
            choices=(
                (make_copy_choice(text),),
                (Choice(say("Saved"), "api-saved", {"token": token.id}, once=True),),
            ),
            private=True,
            replace=True,
        )

    @action("api-saved")
    async def api_saved(self, request: Request) -> Reply:
        """The secret leaves the chat: the token's card takes its place."""
        token = await self._get_own_token(request)
        await self._tokens.cancel_hiding(token)
        return await self._token_card(token)

    # --- changing -------------------------------------------------------------------------------

    @action("api-name")
    async def api_name(self, request: Request) -> FormRequest:
        """Another name."""
        token = await self._get_own_token(request)
        field = FormField("text", say("Name"), max_length=NAME_CHARS_MAX, hidden=False)
        return _make_form(token, field, "api-name-set")

    @action("api-name-set")
    async def api_name_set(self, request: Request) -> Reply:
        """The name was typed."""
        typed = _get_entered(request)
        token = await self._tokens.rename_token(request.person.id, _get_id(request), typed)
        return await self._token_card(token)

    @action("api-cap")
    async def api_cap(self, request: Request) -> Reply:
        """A cap that was offered."""
        return await self._set_cap(request, int(request.data["credits"]))

    @action("api-cap-other")
    async def api_cap_other(self, request: Request) -> FormRequest:
        """Any other."""
        token = await self._get_own_token(request)
        field = FormField("text", say("Credits a day"), max_length=15, hidden=False)
        return _make_form(token, field, "api-cap-set")

    @action("api-cap-set")
    async def api_cap_set(self, request: Request) -> Reply:
        """The cap was typed."""
        number = parse_number(_get_entered(request), _HOW_CAP, most=PER_DAY_MAX.units)
        return await self._set_cap(request, number)

    async def _set_cap(self, request: Request, units: int) -> Reply:
        token = await self._tokens.set_day_cap(request.person.id, _get_id(request), Credits(units))
        return await self._token_card(token)

    @action("api-models")
    async def api_models(self, request: Request) -> FormRequest:
        """Which models it is for."""
        token = await self._get_own_token(request)
        hint = say("Their names, with commas between; “all” for all of them")
        return _make_form(
            token, FormField("text", say("Models"), hint, hidden=False), "api-models-set"
        )

    @action("api-models-set")
    async def api_models_set(self, request: Request) -> Reply:
        """The models were typed."""
        names = _split(_get_entered(request), ",，、;\n")
        if len(names) > MODELS_MAX:
            raise UsageError(say("At most {most} models. Nothing was changed.", most=MODELS_MAX))
        models = [self._catalogue.find(name).id for name in names]
        token = await self._tokens.set_models(request.person.id, _get_id(request), models)
        return await self._token_card(token)

    @action("api-networks")
    async def api_networks(self, request: Request) -> FormRequest:
        """Which networks it may be used from."""
        token = await self._get_own_token(request)
        hint = say("Like 192.0.2.7 or 192.0.2.0/24, with commas between; “all” for all of them")
        return _make_form(
            token, FormField("text", say("Networks"), hint, hidden=False), "api-networks-set"
        )

    @action("api-networks-set")
    async def api_networks_set(self, request: Request) -> Reply:
        """The networks were typed."""
        networks = _split(_get_entered(request), ",，、; \n")
        token = await self._tokens.set_networks(request.person.id, _get_id(request), networks)
        return await self._token_card(token)

    # --- ending ---------------------------------------------------------------------------------

    @action("api-revoke")
    async def api_revoke(self, request: Request) -> Reply:
        """Asks once more."""
        token = await self._get_own_token(request)
        data: dict[str, str | int] = {"token": token.id}
        return Reply(
            lines=(
                say(
                    "Revoke {name} ({label})? Programs that use it are refused within seconds.",
                    name=token.name,
                    label=token.label,
                ),
            ),
            choices=(
                (
                    Choice(say("Yes, revoke it"), "api-revoke-now", data, once=True),
                    Choice(say("Cancel"), "api-token", data),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("api-revoke-now")
    async def api_revoke_now(self, request: Request) -> Reply:
        """It opens nothing any more."""
        token = await self._get_own_token(request)
        await self._tokens.revoke_token(request.person.id, token.id)
        reply = await self._list_card(request, say("{name} is revoked.", name=token.name))
        return replace(reply, replace=True)

    @action("api-pasted")
    async def api_pasted(self, request: Request) -> Reply:
        """A message held a secret of ours: whoever has it can end it, whose ever it is."""
        warning = explain_refusal(SecretSent("creditbot", is_own_message=True))
        token = await self._tokens.find_by_secret(request.entered["secret"].get_secret_value())
        if token is None:
            return Reply((warning,))
        revoke = Choice(say("Revoke it"), "api-pasted-revoke", {"token": token.id}, once=True)
        return Reply(
            lines=(warning, say("It still works. End it here, whose ever it is:")),
            choices=((revoke,),),
        )

    @action("api-pasted-revoke")
    async def api_pasted_revoke(self, request: Request) -> Reply:
        """Ended; its person is told where they didn't do it themselves."""
        await self._tokens.revoke_found_token(_get_id(request), request.person.id)
        return Reply((say("Revoked: it opens nothing any more."),), replace=True)

    # --- helpers --------------------------------------------------------------------------------

    async def _get_own_token(self, request: Request) -> ApiToken:
        return await self._tokens.get_token(request.person.id, _get_id(request))


def _make_form(token: ApiToken, field: FormField, name: str) -> FormRequest:
    return FormRequest(plain(token.name), (), (field,), name, {"token": token.id})


def _get_id(request: Request) -> str:
    return str(request.data["token"])


def _get_entered(request: Request) -> str:
    """What was typed; raises `SecretSent` where it holds a secret, which is neither kept nor said
    again."""
    typed = request.entered["text"].get_secret_value().strip()
    if secrets := find_secrets(typed):
        raise SecretSent(secrets[0].kind, is_own_message=True)
    return typed


def _split(typed: str, separators: str) -> Sequence[str]:
    """The parts of a list; none where all are meant."""
    for separator in separators:
        typed = typed.replace(separator, ",")
    parts = [part.strip() for part in typed.split(",") if part.strip()]
    return [] if [part.casefold() for part in parts] in ([_ALL], ["全部"]) else parts


def _format_day(at_ms: int) -> str:
    return as_datetime(at_ms).date().isoformat()


def _format_last_use(token: ApiToken) -> Phrase:
    if token.last_used_at is None:
        return say("never")
    return say("{at}", at=as_datetime(token.last_used_at))

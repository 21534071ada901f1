"""stub"""

from core.db import schema
from core.db.writes import Insert, Update


def plan_reply(ask, person, digest, now_ms):  # type: ignore
    return Insert(
        schema.api_reply,
        {
            "ask": ask,
            "person": person,
            "digest": digest,
            "answer": None,
            "expires_at": now_ms + 86400000,
        },
    )


def plan_answer(ask, sealed):  # type: ignore
    return Update(schema.api_reply, {"ask": ask}, {"answer": sealed})

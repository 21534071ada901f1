"""The tables of asks: conversations, what is held and charged, where an answer is shown."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, partial_index, required_column

conversation = sa.Table(
    "conversation",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    #: `<platform>:<chat>:<thread>`
    required_column("place", sa.Text),
    required_column("created_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    #: The ask with whose answer its history begins: somebody replied to that older answer.
    sa.Column("branched_from", sa.Text),
    #: Files that came before this time don't go along any more.
    sa.Column("files_left_out_at", sa.BigInteger),
    sa.Index("ix_conversation_place_person", "place", "person", "id"),
)

ask = sa.Table(
    "ask",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    required_column("conversation", sa.Text),
    required_column("place", sa.Text),
    #: The platform's message that asked; and the one that shows the answer, once known.
    required_column("asked_in", sa.Text),
    required_column("shown_in", sa.Text),
    required_column("created_at", sa.BigInteger),
    required_column("model", sa.Text),
    required_column("price", sa.Text),
    required_column("prompt_tokens", sa.BigInteger),
    required_column("history_tokens", sa.BigInteger),
    required_column("answer_limit", sa.BigInteger),
    #: Credits held.
    required_column("held", sa.BigInteger),
    #: open → settled
    required_column("state", sa.Text),
    #: The process that runs it (its `process_id`), and until when that is presumed alive.
    required_column("owner", sa.Text),
    required_column("lease_until", sa.BigInteger),
    required_column("stop_requested", sa.Boolean),
    #: The try that runs (1 is the first key), its key, and the nano-dollars held on that.
    required_column("tries", sa.Integer),
    required_column("key", sa.Text),
    required_column("key_held", sa.BigInteger),
    #: Tokens shown to the person so far.
    required_column("shown_tokens", sa.BigInteger),
    #: done, length, stopped, refused, broken, timed_out, lost; empty while open
    required_column("outcome", sa.Text),
    sa.Column("ended_at", sa.BigInteger),
    #: When the final text was delivered to the chat.
    sa.Column("landed_at", sa.BigInteger),
    #: Sealed by the person's data key.
    sa.Column("question", sa.LargeBinary),
    sa.Column("answer", sa.LargeBinary),
    #: The question as its person edited it since, which asking again takes; sealed likewise.
    sa.Column("edited", sa.LargeBinary),
    #: What its platform needs to be answered, besides place and message; sealed likewise.
    sa.Column("way_back", sa.LargeBinary),
    #: Another ask that this one repeats (Again) or goes on from (Continue).
    sa.Column("follows", sa.Text),
    #: The ask that brought the files whose marks its question has (mostly itself), and what their
    #: texts were of its prompt; null where it has none.
    sa.Column("files_of", sa.Text),
    sa.Column("file_tokens", sa.BigInteger),
    #: What of its prompt are pictures, its own and earlier turns'; null where there are none.
    sa.Column("picture_tokens", sa.BigInteger),
    #: The longest that audio is billed as; null for a question.
    sa.Column("seconds", sa.BigInteger),
    #: The rates it is billed at where they aren't the price's own, and why: the asker's tier, and
    #: the promotion.
    sa.Column("input_rate", sa.BigInteger),
    sa.Column("output_rate", sa.BigInteger),
    sa.Column("tier", sa.Text),
    sa.Column("promotion", sa.Text),
    #: The token by which a program asked; null: somebody asked in a chat.
    sa.Column("api_token", sa.Text),
    sa.Index("ix_ask_conversation_id", "conversation", "id"),
    sa.Index("ix_ask_person_id", "person", "id"),
    partial_index("ix_ask_promotion", "promotion", "promotion IS NOT NULL"),
    partial_index("ix_ask_open", "lease_until", "state = 'open'"),
    partial_index("ix_ask_unlanded", "ended_at", "state = 'settled' AND landed_at IS NULL"),
)

#: What came with an ask, for a day: of files their text. The ask's question has marks in its place.
attachment = sa.Table(
    "attachment",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    required_column("ask", sa.Text),
    required_column("conversation", sa.Text),
    #: text, picture
    required_column("kind", sa.Text),
    #: Sealed by the person's data key.
    required_column("name", sa.LargeBinary),
    required_column("content", sa.LargeBinary),
    #: A picture as it goes with later questions.
    sa.Column("small", sa.LargeBinary),
    #: What a text counts as with the model that was asked first; of a picture 0: each maker counts
    #: in a way of its own.
    required_column("tokens", sa.BigInteger),
    required_column("created_at", sa.BigInteger),
    required_column("expires_at", sa.BigInteger),
    sa.Index("ix_attachment_ask", "ask", "id"),
    sa.Index("ix_attachment_person", "person"),
    sa.Index("ix_attachment_expires_at", "expires_at"),
)

#: Which messages of a place show an answer: a long one is several.
shown = sa.Table(
    "shown",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("message", sa.Text, primary_key=True),
    required_column("ask", sa.Text),
)

#: What place a place was before its group became a supergroup: the same chat, to its people.
chat_move = sa.Table(
    "chat_move",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    required_column("was", sa.Text),
    required_column("at", sa.BigInteger),
)

#: One row for each served ask: what it used, was charged and cost. It outlives erasure.
usage = sa.Table(
    "usage",
    metadata,
    sa.Column("ask", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    required_column("at", sa.BigInteger),
    required_column("model", sa.Text),
    required_column("price", sa.Text),
    required_column("provider", sa.Text),
    required_column("key", sa.Text),
    required_column("input_tokens", sa.BigInteger),
    required_column("cached_tokens", sa.BigInteger),
    required_column("output_tokens", sa.BigInteger),
    #: What of the input are pictures, by our count; null where there were none.
    sa.Column("picture_tokens", sa.BigInteger),
    #: Of audio that its supplier heard, which may be more than the ask's; null for a question.
    sa.Column("seconds", sa.BigInteger),
    #: Whether the counts are our own, for the supplier reported no usage.
    required_column("estimated", sa.Boolean),
    #: Credits charged, those of them that the asker had bought or earned, and the supplier's cost
    #: in nano-dollars.
    required_column("charge", sa.BigInteger),
    required_column("paid", sa.BigInteger, server_default="0"),
    required_column("cost", sa.BigInteger),
    sa.Index("ix_usage_person_at", "person", "at"),
    sa.Index("ix_usage_at", "at"),
    sa.Index("ix_usage_key_at", "key", "at"),
)

#: Asks that cost a supplier's money, or its patience, and their asker nothing; it outlives erasure.
unpaid_work = sa.Table(
    "unpaid_work",
    metadata,
    sa.Column("ask", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    required_column("at", sa.BigInteger),
    #: content, picture, unseen, stopped, undelivered, broken
    required_column("cause", sa.Text),
    #: Nano-dollars that the key paid and the asker didn't.
    required_column("cost", sa.BigInteger),
    sa.Index("ix_unpaid_work_person_at", "person", "at"),
)

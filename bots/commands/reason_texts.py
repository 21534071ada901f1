"""What is said of refusals of one kind that have several reasons, by the reason."""

from __future__ import annotations

from typing import Final

from bots.chat.reply import say

#: Why a purchase can't be withdrawn from.
CANCELLATION_REFUSALS: Final = {
    "unpaid": say("That isn't a paid purchase of yours. Nothing was changed."),
    "over": say(
        "The days in which you could withdraw from that purchase are over, or it was given back"
        " already. Nothing was changed. Ask for what is unused: /paysupport"
    ),
    "disputed": say("That payment is disputed at your bank: it decides. Nothing was changed here."),
    "used": say("Nothing of that purchase is unused, so nothing can go back. Nothing was changed."),
    "before": say("You withdrew from that purchase already; it is on its way. /paysupport helps."),
    "elsewhere": say(
        "You bought this from whoever took the payment, not from the operator: withdraw there."
        " Nothing was changed here."
    ),
}

#: What isn't done for a while, by the operator's word.
PAUSES: Final = {
    "asks": say("Questions are paused for a while. Nothing was charged. Please come back later."),
    "topups": say("Buying Credits is paused for a while. Nothing was ordered."),
    "contributions": say("Keys aren't accepted for now. Nothing was kept or sent."),
    "payouts": say("Withdrawals are paused for a while. Nothing was withdrawn."),
}

#: Why nothing can be read of a file, by a `FileProblem`.
FILE_PROBLEMS: Final = {
    "locked": say(
        "“{name}” opens only with a password. Nothing was asked or charged. Save it without one and"
        " send it again."
    ),
    "empty": say("There are no words in “{name}”. Nothing was asked or charged."),
    "scanned": say(
        "“{name}” holds pictures of pages, and no words that I can read. Nothing was asked or"
        " charged. Ask a model that sees pictures about it, alone in its message, or send a version"
        " with text."
    ),
    "unknown": say(
        "“{name}” is neither text nor a document that I can read (PDF, DOCX, XLSX), whatever its"
        " name says. Nothing was asked or charged."
    ),
    "unknown_picture": say(
        "“{name}” is no picture that I can see (JPEG, PNG, WebP, GIF), whatever its name says."
        " Nothing was asked or charged. Send it as a photo."
    ),
    "too_many_pixels": say(
        "“{name}” has more pixels than I read: 50 megapixels, of WebP 30. Nothing was asked or"
        " charged. Send it smaller."
    ),
    "damaged": say(
        "“{name}” is damaged: I could not read it. Nothing was asked or charged. Save it anew and"
        " send it again."
    ),
    "slow": say(
        "“{name}” took too long to read: it is damaged, or I have too much to do at the moment."
        " Nothing was asked or charged. Send it again in a few minutes."
    ),
    "too_large": say(
        "“{name}” unpacks to far more than I read. Nothing was asked or charged. Send the part that"
        " matters."
    ),
}

#: Why a key isn't taken.
KEY_REJECTIONS: Final = {
    "shape": say("That doesn't look like a key of {supplier}. Nothing was kept or sent."),
    "account": say("That doesn't look like an account ID of {supplier}. Nothing was kept or sent."),
    "admin": say(
        "That key administers a whole organisation. Make one that only runs models, and revoke this"
        " one: it has been in a chat. Nothing was kept or sent."
    ),
    "subscription": say(
        "That key belongs to a subscription, which may not serve others. Only API keys are"
        " taken. Nothing was kept or sent."
    ),
    "refused": say("{supplier} refuses that key. Nothing was kept."),
    "no_money": say(
        "{supplier} accepts that key, but its account has no money or has reached its limit."
        " Nothing was kept."
    ),
    "no_model": say("That {supplier} key can't use any model offered here. Nothing was kept."),
    "unreachable": say(
        "{supplier} can't be reached to check that key. Nothing was kept. Try again in a minute."
    ),
}

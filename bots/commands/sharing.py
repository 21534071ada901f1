"""What contributors are told of their suppliers' terms, in one sentence each (providers.md § 6)."""

from __future__ import annotations

from bots.chat.reply import Said, say

_TERMS = {
    "openai": say(
        "OpenAI's terms forbid to buy, sell or transfer API keys: it may close your account for"
        " this."
    ),
    "anthropic": say(
        "Anthropic's terms forbid reselling without its approval, and you answer for your keys: it"
        " may close your account for this."
    ),
    "google": say(
        "Google binds keys to your own project and blocks keys that it finds shared: it may block"
        " this one."
    ),
    "xai": say(
        "xAI's terms allow internal use only, no sharing or resale: it may close your account for"
        " this."
    ),
    "groq": say(
        "Groq's terms let an app serve its users, but say nothing for shared keys: it may close"
        " your account for this."
    ),
    "cohere": say(
        "Cohere's terms forbid to give keys to others without its consent: it may close your"
        " account for this."
    ),
}


def terms_of(supplier: str, title: str) -> Said:
    """What a supplier's terms say of sharing a key, as far as we read them."""
    return _TERMS.get(
        supplier,
        say(
            "{supplier}'s terms on sharing keys are not known to us: read them first. Most make you"
            " answer for what is asked with your key.",
            supplier=title,
        ),
    )

"""Telegram: updates in, messages out, through the python-telegram-bot library."""

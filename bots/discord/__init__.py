"""Discord: interactions and messages in, messages out, through the discord.py library."""

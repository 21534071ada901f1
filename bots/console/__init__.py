"""The console: a chat in the terminal, for the demo and for scripts."""

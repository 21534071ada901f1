"""Asks: everything from a question to a settled and delivered answer."""

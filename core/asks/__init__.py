"""Asking: the main road, from a question to a settled answer."""

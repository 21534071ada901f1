"""Upkeep: what happens without a request."""

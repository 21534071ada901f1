"""Tokens by which programs ask in a person's name."""

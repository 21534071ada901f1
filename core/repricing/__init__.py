"""Prices over time: margins, suggestions, changes of suppliers and what follows from them."""

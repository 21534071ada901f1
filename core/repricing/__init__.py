"""Repricing: margins, price suggestions, changes of suppliers and what follows from them."""

"""Prices: the models on sale, what they cost the platform, what it asks for them, token counts.

Knows neither keys nor the ledger: it reads the database and is given the function that records
rows.
"""

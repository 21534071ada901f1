"""Earnings: contributions of keys, what they are worth, what their use vests, and withdrawals."""

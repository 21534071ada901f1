"""Earning: contributions of keys, what they are worth, what their use brings, cashing out; and what
inviting friends brings."""

"""Whole processes: started, stopped, killed, several at once."""

"""Peers speak the wire formats of suppliers, gateways and chat platforms, and refuse what the real
ones refuse."""

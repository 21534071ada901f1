"""The demo's stand-ins."""

"""The pool of keys: the vault that seals them, the suppliers, the router, health, the stream."""

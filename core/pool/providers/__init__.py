"""Wire adapters: a call in, pieces of an answer out, each fault by what the pool does about it."""

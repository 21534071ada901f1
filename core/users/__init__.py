"""Users: who writes, what they set, and the key that seals their history."""

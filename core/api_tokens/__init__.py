"""API tokens: programs ask in a person's name, within what that person lets each of them spend."""

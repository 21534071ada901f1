"""Speed, cost and growth, each against a yardstick in the same run; see each file's docstring."""

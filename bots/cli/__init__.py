"""The command line of operators: `creditbot …`, one module a noun."""

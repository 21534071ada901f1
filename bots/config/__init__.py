"""Settings as sections, and the gateways that they name."""

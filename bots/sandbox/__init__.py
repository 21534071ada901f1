"""What stands in for the world in the demo, on loopback: suppliers, payments, people."""

"""What tests of every room stand on: databases, the service, audio, the brief's prices."""

"""Every sentence that a user reads, in every language."""

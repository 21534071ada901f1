"""The commands of owners, admins and support."""

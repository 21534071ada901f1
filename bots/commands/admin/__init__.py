"""The commands of operators, admins and support."""

"""The tables of the database, by the package that owns them."""

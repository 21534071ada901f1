"""The tables of the database, one module for each package that writes some."""

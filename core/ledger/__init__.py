"""The ledger: accounts, immutable transfers, submissions; its writer, audit and exports.

Nothing else writes to the database. It knows no account by name: `core.chart` does.
"""

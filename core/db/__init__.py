"""The database: tables, migrations, connections, reads, backups. Only `core.ledger` writes rows."""

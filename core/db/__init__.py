"""The store: schema, migrations, connections, reads, backups. Only `core.ledger` writes rows."""

"""Everything that is true without a chat or a bank: ledger, prices, pool, asks, people."""

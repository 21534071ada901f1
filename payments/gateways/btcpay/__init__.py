"""BTCPay Server: checkout in cryptocurrency, and payouts."""

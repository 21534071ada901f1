"""PayPal: checkout, its webhooks, and payouts."""

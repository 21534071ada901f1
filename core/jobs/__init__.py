"""Jobs: what happens without a request, and the delivery of notifications."""

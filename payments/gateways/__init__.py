"""Gateways: each speaks to one payment service, and reports what it heard as values."""

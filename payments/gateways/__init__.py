"""Gateways: each speaks to one payment service, and tells what it heard as values."""

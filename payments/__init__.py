"""Payments: everything that moves cash. Orders become Credits here, and refunds take them back."""

"""Desired trees, statuses, leases and drivers' records, in a database."""

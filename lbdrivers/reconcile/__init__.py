"""Brings what runs to what is wanted: outcomes, retries, leases."""

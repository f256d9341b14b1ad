"""lbdrivers: load-balancer provider drivers. Nothing is imported here; see docs/architecture.md."""

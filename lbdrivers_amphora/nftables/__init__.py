"""Datagrams without IPVS: balanced by the kernel's own packet filter, on any kernel and in any container."""

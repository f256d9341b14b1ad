"""Networks and ports that are made in OVN itself."""

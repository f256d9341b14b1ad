"""An nginx driver for lbdrivers: nothing is imported here; see README.md."""

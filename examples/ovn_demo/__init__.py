"""The demonstration that `make demo-ovn` runs, and the private OVN that it and the tests run on."""

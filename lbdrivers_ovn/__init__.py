"""Load balancers that Open vSwitch itself carries out, described in OVN's northbound database."""

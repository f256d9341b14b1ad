"""What IPVS needs from the packet filter: members answer to the appliance, whatever their routes are.

Law: one text, which may be loaded again and again.
"""

MASQUERADE = """\
add table inet lbdrivers-lvs
delete table inet lbdrivers-lvs
add table inet lbdrivers-lvs
add chain inet lbdrivers-lvs postrouting { type nat hook postrouting priority srcnat ; policy accept ; }
add rule inet lbdrivers-lvs postrouting oifname != "lo" meta l4proto { udp, sctp } masquerade
"""

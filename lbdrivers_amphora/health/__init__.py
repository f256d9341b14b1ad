"""The health manager: hears heartbeats, keeps statuses and statistics, asks for failovers.

``inbox`` says which datagrams count, ``watch`` what they mean, ``journal`` writes it down, ``receiver`` has
the socket, ``manager`` puts them together. What follows from it all is decided in ``lbdrivers_amphora.decide``.
"""

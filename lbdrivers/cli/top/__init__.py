"""``lbdrivers top``: what goes on, live: load balancers, their appliances, rates, statuses, last heartbeats.

``rates`` measures, ``view`` draws, ``screen`` watches a terminal.
"""

"""A running reference backend for every contract: the specification in code.

It balances no traffic. What it holds lives in driver-private records, so it lasts from one command
to the next where those do, and drivers that were loaded apart see the same cloud.
"""

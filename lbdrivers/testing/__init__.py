"""The conformance kit: what every driver has to keep, as functions that take a fixture.

It knows no test framework: a check returns, or raises AssertionError with the law and what was seen.
``strategies`` and ``edits`` need Hypothesis (the extra ``testing``); the rest needs nothing.
"""

"""Puts this folder on the import path, so that tests share what is in ``support``."""

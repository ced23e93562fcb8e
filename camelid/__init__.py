"""Camelid: instruction tuning from seed tasks to a judged report."""

__version__ = "0.2.0"

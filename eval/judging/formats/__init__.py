"""Formats of published judgment files: one object a file, and their table."""

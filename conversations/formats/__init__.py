"""Readers: one shape of record in, conversations out."""

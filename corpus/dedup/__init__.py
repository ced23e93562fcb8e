"""Duplicates out: of lines, of whole texts, of texts that are nearly the same, of books."""

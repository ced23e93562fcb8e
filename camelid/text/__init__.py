"""Text of every language: words, near-duplicates, contamination, language, personal data."""

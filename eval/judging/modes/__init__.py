"""The judging modes: one object a file, and the table of them."""

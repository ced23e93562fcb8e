"""What the records of a source are, and what of them is trained: one object a form."""

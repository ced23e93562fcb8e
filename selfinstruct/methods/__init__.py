"""Ways to make instruction data, one a file."""

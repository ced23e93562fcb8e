"""Every file that is read or written, and the counts of what was dropped."""

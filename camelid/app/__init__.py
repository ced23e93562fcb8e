"""The front door: the command line, the demo, and what only they know (shipped files, which model to open)."""

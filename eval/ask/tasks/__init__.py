"""Files of tasks whose answers are run, in their published shapes: one object a file."""

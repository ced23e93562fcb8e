"""What a generated task must pass to be kept."""

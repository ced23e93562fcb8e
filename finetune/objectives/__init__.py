"""What is minimised: the loss of a batch and what surrounds it."""

"""What steps the weights: one table, and the optimizers that are ours."""

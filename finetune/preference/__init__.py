"""Training on preferences: reward models and policies, and what a reward model says of answers."""

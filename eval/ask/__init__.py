"""Questions, and a model's answers to them."""

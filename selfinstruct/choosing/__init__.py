"""From scored answers to training data: what an answer is worth, and the best of several."""

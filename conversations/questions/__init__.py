"""Question files of every kind, as evaluation asks them and as training data are kept clear of them."""

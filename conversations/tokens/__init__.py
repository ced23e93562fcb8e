"""Templates, tokenisation, and the loss mask: the only code that masks."""

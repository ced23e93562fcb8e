"""Numbers that say what a conversation is worth, and what is chosen by them."""

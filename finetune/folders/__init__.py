"""Model folders: weights in and out, tokenizers, merging."""

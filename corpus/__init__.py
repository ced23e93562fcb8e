"""Text to pre-train on: readers of what LLaMA was trained on and of what users own, duplicates out, mixed."""

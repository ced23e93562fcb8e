"""Supervised fine-tuning: the loop."""

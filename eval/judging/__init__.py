"""Judges: prompts, verdicts, judgments."""

"""Instruction data from seed tasks and any OpenAI-compatible model."""

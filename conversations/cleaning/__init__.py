"""The steps that change or drop conversations."""

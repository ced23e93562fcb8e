"""The native LLaMA and the runner that fine-tunes it."""

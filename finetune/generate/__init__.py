"""Text out of a model: decoding, and a model folder as an `LLM`."""

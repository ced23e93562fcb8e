"""One implementation of the LLaMA family: configuration, module, weights, generation."""

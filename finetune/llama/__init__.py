"""The network alone: configuration, published shapes, module, attention, rotary embedding, recomputation, cache."""

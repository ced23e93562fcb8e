"""From sources to micro-batches: tokens on disk, packing, order."""

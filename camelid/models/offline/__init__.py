"""The embedded model: rule-based, deterministic, honest about what it is. Needs no key and no download."""

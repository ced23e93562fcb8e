"""How far a model can look: its loss by position, and whether it finds again what it read long ago."""

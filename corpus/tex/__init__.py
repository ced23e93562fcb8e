"""LaTeX as LLaMA was trained on it: macros written out, comments and bibliography out, from the first section on."""

"""Floor 7: the command line; one module per noun, no logic of its own."""

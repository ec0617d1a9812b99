"""Floor 5: HTTP surfaces, thin: decode, call a use case, render."""

"""Floor 1: converts between bytes and values. Every parser is total."""

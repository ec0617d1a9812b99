"""Floor 1: bytes to values and back; every parser is total."""

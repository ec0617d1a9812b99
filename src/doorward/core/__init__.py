"""Floor 0: types and functions that every room uses. It imports no other room and does no I/O."""

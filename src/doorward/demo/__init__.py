"""Floor 7: a little bank behind the door, and its story."""

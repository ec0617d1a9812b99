"""Floor 7: a little bank behind the door, and the scenes of `doorward demo`."""

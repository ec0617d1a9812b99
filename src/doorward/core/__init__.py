"""Floor 0: the shared words. Imports nothing of ours and does no I/O."""

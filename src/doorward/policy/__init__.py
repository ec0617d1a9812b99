"""Floor 2: who may reach what."""

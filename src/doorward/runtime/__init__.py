"""Floor 6: settings, the real clock and randomness, and the one place that puts the parts together."""

"""Floor 3: from policy and applications to the configuration of the data plane; pure."""

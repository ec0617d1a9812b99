"""Floor 5: the running data plane: what the `doorward gateway` process does."""

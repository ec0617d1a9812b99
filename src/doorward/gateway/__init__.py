"""Floor 5: the data plane, run by the `doorward gateway` process."""

"""Floor 2: the checker; it does not trust the maker, so it never imports pki."""

"""Floor 5: what runs on the machine of the user; it stays small."""

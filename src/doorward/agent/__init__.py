"""Floor 5: the code that runs on the user's machine; it stays small."""

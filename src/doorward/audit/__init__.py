"""Floor 2: the record that nobody can quietly rewrite."""

"""Other organisations' authorities: terms, trust, judging, registration and evidence."""

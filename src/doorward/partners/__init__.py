"""Partners, which are other organisations with authorities of their own: terms, trust, judging, evidence."""

"""Floor 5: SQL and key material behind the Protocols of the floors below."""

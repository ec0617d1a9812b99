"""Floor 3: the use cases; no framework, no SQL. Stores and the unit of work are declared here."""

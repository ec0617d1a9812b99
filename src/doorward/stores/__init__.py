"""What is kept: records, the stores that keep them (Protocols), and the facts that every use case reads."""

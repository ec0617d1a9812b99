"""Floor 2: the audit log, a Merkle tree of events in which every later change is detected."""

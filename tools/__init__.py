"""What the verbs of make call: not part of the package."""

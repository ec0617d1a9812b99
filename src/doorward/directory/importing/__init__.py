"""Adding many persons, devices or services from one file."""

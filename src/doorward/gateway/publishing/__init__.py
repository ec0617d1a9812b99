"""A revision becomes configuration of Envoy: prepared, checked, written, confirmed."""

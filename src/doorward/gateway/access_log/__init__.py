"""Envoy's access log becomes events of the record."""

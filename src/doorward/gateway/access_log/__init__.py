"""Envoy's access log: its lines become events of the record."""

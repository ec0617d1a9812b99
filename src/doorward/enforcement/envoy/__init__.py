"""Compiles a gateway plan into Envoy resources: plain dicts with versions from their content; no I/O."""

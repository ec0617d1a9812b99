"""From a gateway plan to Envoy resources: plain dicts, content-hashed, no I/O."""

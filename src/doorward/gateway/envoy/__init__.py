"""The Envoy processes: starting, asking, replacing and restarting them."""

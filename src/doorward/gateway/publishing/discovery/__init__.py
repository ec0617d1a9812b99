"""Envoy's discovery service (delta ADS): resources as messages, the stream that carries them, and Envoy's answers."""

"""The live connections: registered, found in the kernel, cut, and compared with what Envoy holds."""

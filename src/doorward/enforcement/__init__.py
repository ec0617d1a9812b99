"""Floor 3: compiles policy and applications into the configuration of Envoy; pure."""

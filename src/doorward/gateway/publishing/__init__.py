"""Publishing: a revision of the policy becomes Envoy's configuration: compiled, packed, sent, confirmed."""

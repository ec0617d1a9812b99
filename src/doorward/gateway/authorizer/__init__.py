"""The answer to Envoy for each connection (ext_authz): who it is, what it may reach, or why not."""

"""Answering Envoy for each connection (ext_authz): its principal and grants, or a refusal."""

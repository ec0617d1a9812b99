"""Server certificates from other authorities by ACME (RFC 8555): the client side, without sockets."""

"""HTTP/2 as far as a server of small unary calls needs it: octets in, requests out; responses in, octets out."""

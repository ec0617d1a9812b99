"""The live connections: their registry, their sockets in the kernel, and cutting them."""

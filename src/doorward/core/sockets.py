"""How long the path of a unix socket may be; the one fact about sockets that the pure floors know.

Standard: Linux unix(7).
"""

from __future__ import annotations

LONGEST_SOCKET_PATH = 107
"""Bytes: `sun_path` has 108, and the last is zero. Envoy and the kernel refuse longer ones."""

"""The maximum length of the path of a unix socket.

Standard: Linux unix(7).
"""

from __future__ import annotations

LONGEST_SOCKET_PATH = 107
"""Bytes: `sun_path` has 108, and the last byte is zero. Envoy and the kernel refuse longer paths."""

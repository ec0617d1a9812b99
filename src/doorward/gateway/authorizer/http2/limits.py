"""What a peer may send, hold and repeat on one connection.

Two kinds of clients reach these numbers: a program of our own user, and a stranger, by the certificates that Envoy passes on.
BoringSSL accepts certificates of 100 kB together. A leaf of that size becomes some 200 kB of URL-encoded PEM. Such a call is
judged, or refused for itself: it must not disturb the calls of other clients on the same connection.
"""

from __future__ import annotations

STREAMS = 1_000
"""Open at once. Envoy opens a further connection for more."""
BODY_BYTES = 256 << 10
"""Of a request."""
STREAM_WINDOW = BODY_BYTES + (64 << 10)
"""Larger than a request with its padding: no request needs a WINDOW_UPDATE of its own."""
CONNECTION_WINDOW = 1 << 20
"""Given back as octets arrive: if it waited for whole requests, a few large ones could stop all others."""
HELD_BYTES = 8 << 20
"""Of requests that are not complete, together; with more, the one that grows is refused. 1,000 usual ones have 3 MB."""
HEADER_LIST_BYTES = 32 << 10
"""Of the fields of a request, as RFC 9113 section 6.5.2 counts them; a request with more is refused."""
BLOCK_BYTES = 96 << 10
"""Of a header block, coded; a longer one ends the connection. Envoy's has 300 octets. (Up to 72 kB while Envoy sent the
fingerprint of each certificate of a chain, until docs/design/0119.)"""
BLOCK_FRAMES = 16
"""HEADERS and CONTINUATION of one block, empty ones too (CVE-2024-27316)."""
SMALL_DATA_BYTES = 512
"""A part of a body that is shorter costs as much as a frame that asks nothing, and is counted as one."""
REMEMBERED_RESETS = 1_000
"""Streams that we ended: what the peer sent before it knew is ignored."""

BEGIN_SECONDS = 10.0
"""From the connection to the first SETTINGS."""
FRAME_SECONDS = 10.0
"""From the first octet of a frame, or of a header block, to its last one."""
REQUEST_SECONDS = 10.0
"""From the first frame of a request to its last one; Envoy gives up after 5 s."""
SEND_SECONDS = 10.0
"""For a response that waits for the peer's window."""

"""Default limits for connections and requests. They are not in `plan`, so that the settings need not import it."""

from __future__ import annotations

from datetime import timedelta

CONNECTIONS = 100_000
"""The gateway's registry takes about 150 MB for so many."""

CONNECTIONS_PER_SOURCE = 4_096
"""A large office behind one address has some thousands of connections; a single machine has few."""

CONNECTIONS_PER_PRINCIPAL = 512
"""A browser has some dozens of connections to all applications together, a busy service some hundreds."""

REQUESTS_PER_CERTIFICATE = 500
"""Per second. Each request is a leaf of the log of about 2 KB. A burst may have the requests of ten seconds."""

HSTS = timedelta(days=365)
"""How long browsers remember to use TLS only (RFC 6797); their preload lists require at least a year."""

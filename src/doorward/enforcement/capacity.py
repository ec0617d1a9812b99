"""How many connections and requests a door takes by default. Apart from `plan`, so that the settings need not load it."""

from __future__ import annotations

from datetime import timedelta

CONNECTIONS = 100_000
"""Twice the stampede that DESIGN names; the gateway's registry takes about 150 MB for so many."""

CONNECTIONS_PER_SOURCE = 4_096
"""A large office behind one address has some thousands of connections; one machine has few."""

CONNECTIONS_PER_PRINCIPAL = 512
"""A browser has some dozens over all applications, a busy service some hundreds."""

REQUESTS_PER_CERTIFICATE = 500
"""A second; each request is a leaf of the record of about 2 KB, and ten seconds' worth may come at once."""

HSTS = timedelta(days=365)
"""How long browsers remember to come with TLS only; a year is what their preload lists ask for at least."""

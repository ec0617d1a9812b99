"""Caddy's ACME server certifies the host of an application; run in a network of its own, because Caddy asks ports 80 and 443.

python -m tests.clients.caddy_authority tls-alpn-01      inside `tests.support.acme_authorities.run_apart`
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.clients.acme import WITHIN_SECONDS, issuer_at
from tests.support.acme_authorities import caddy
from tests.support.doorway import eventually, open_doorway


def main(challenge: str) -> None:
    """Certify; raise if the door does not get the certificate."""
    with tempfile.TemporaryDirectory() as folder, caddy(Path(folder)) as server:
        settings = {
            "gateway_listen": "127.0.0.1:443",
            "acme_challenge": challenge,
            "acme_directory": server.directory,
            "acme_http_listen": "127.0.0.1:80",
            "acme_ca_file": server.roots,
        }
        with open_doorway(settings=settings) as door:
            door.apply(certificates="{from: acme}")
            assert eventually(lambda: issuer_at(door).startswith("CN=Caddy"), WITHIN_SECONDS), (
                server.log.read_text()
            )


if __name__ == "__main__":
    main(sys.argv[1])

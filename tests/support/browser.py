"""Chromium without a screen, with one client certificate, for tests of what real pages may do.

with chromium(door, alice) as open_page:
    open_page("https://app.test.localhost:8443/page")

Its certificate is chosen by a managed policy, which only root may write; it is removed afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from tests.support.doorway import DOMAIN, Doorway, Identity

POLICIES = Path("/etc/chromium/policies/managed")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--remote-debugging-port=0",
    # As the Fetch standard says and Firefox does; Chromium 150 sends certificates with preflights by default.
    "--enable-features=OmitCorsClientCert",
)


@contextmanager
def chromium(door: Doorway, who: Identity) -> Iterator[Callable[[str], None]]:
    """Yield a function that opens a page in a browser of its own; all of them end with the block."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        _fill_store(door, who, home)
        POLICIES.mkdir(parents=True, exist_ok=True)
        policy = POLICIES / "doorward-test.json"
        chosen = json.dumps({"pattern": f"https://[*.]{DOMAIN}", "filter": {}})
        policy.write_text(json.dumps({"AutoSelectCertificateForUrls": [chosen]}))
        stack.callback(policy.unlink)

        def open_page(url: str) -> None:
            profile = f"--user-data-dir={tempfile.mkdtemp(dir=home)}"
            process = subprocess.Popen(
                ["chromium", *FLAGS, profile, url],
                env={**os.environ, "HOME": str(home)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)

        yield open_page


def _fill_store(door: Doorway, who: Identity, home: Path) -> None:
    """Make the NSS store of a home: the door's root is trusted, and the certificate is there."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    chain = x509.load_pem_x509_certificates(who.chain.read_bytes())
    key = load_pem_private_key(who.key.read_bytes(), None)
    bundle = home / "client.p12"
    secret = BestAvailableEncryption(b"pass")
    bundle.write_bytes(serialize_key_and_certificates(b"client", key, chain[0], chain[1:], secret))  # type: ignore[arg-type]
    for command in (
        ["certutil", "-N", "-d", f"sql:{store}", "--empty-password"],
        ["certutil", "-A", "-d", f"sql:{store}", "-n", "root", "-t", "C,,", "-i", str(door.root)],
        ["pk12util", "-i", str(bundle), "-d", f"sql:{store}", "-W", "pass", "-K", ""],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=20)

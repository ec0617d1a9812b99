"""Browsers without a screen, with one client certificate, for tests of what real pages may do.

with chromium(door, alice) as open_page:
    open_page("https://app.test.localhost:8443/page")

Chromium's certificate is chosen by a managed policy, which only root may write; it is removed afterwards.
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


Opener = Callable[[str], None]


@contextmanager
def chromium(door: Doorway, who: Identity) -> Iterator[Opener]:
    """Yield a function that opens a page in Chromium; the browser ends with the block."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        _fill_store(door, who, home / ".pki" / "nssdb")
        POLICIES.mkdir(parents=True, exist_ok=True)
        policy = POLICIES / "doorward-test.json"
        chosen = json.dumps({"pattern": f"https://[*.]{DOMAIN}", "filter": {}})
        policy.write_text(json.dumps({"AutoSelectCertificateForUrls": [chosen]}))
        stack.callback(policy.unlink)
        yield lambda url: _start(stack, home, "chromium", *FLAGS, f"--user-data-dir={home}/profile", url)


@contextmanager
def firefox(door: Doorway, who: Identity) -> Iterator[Opener]:
    """The same with Firefox, whose store lies in its profile."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        profile = home / "profile"
        _fill_store(door, who, profile)
        settings = {
            "security.default_personal_cert": "Select Automatically",
            "browser.aboutwelcome.enabled": False,
            "browser.shell.checkDefaultBrowser": False,
            "datareporting.policy.dataSubmissionEnabled": False,
        }
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in settings.items()]
        (profile / "user.js").write_text("\n".join(lines))
        options = ("--headless", "--no-remote", "--profile", str(profile))
        yield lambda url: _start(stack, home, "firefox-esr", *options, url)


def _start(stack: ExitStack, home: Path, *command: str) -> None:
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, env={**os.environ, "HOME": str(home)}, stdout=null, stderr=null)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)


def _fill_store(door: Doorway, who: Identity, store: Path) -> None:
    """Make an NSS store: the door's root is trusted, and the certificate is there."""
    store.mkdir(parents=True)
    chain = x509.load_pem_x509_certificates(who.chain.read_bytes())
    key = load_pem_private_key(who.key.read_bytes(), None)
    bundle = store / "client.p12"
    secret = BestAvailableEncryption(b"pass")
    bundle.write_bytes(serialize_key_and_certificates(b"client", key, chain[0], chain[1:], secret))  # type: ignore[arg-type]
    for command in (
        ["certutil", "-N", "-d", f"sql:{store}", "--empty-password"],
        ["certutil", "-A", "-d", f"sql:{store}", "-n", "root", "-t", "C,,", "-i", str(door.root)],
        ["pk12util", "-i", str(bundle), "-d", f"sql:{store}", "-W", "pass", "-K", ""],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=20)

"""Certificate stores of browsers (NSS) and the policy by which Chromium chooses a certificate without asking.

Chromium reads `$HOME/.pki/nssdb`, Firefox its profile. Only root may write Chromium's managed policy. One file
holds the patterns of all runs at once, because Chromium takes a policy from one file only; a pattern names the
port of its run, and the file is removed with the last one.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from tests.support.commands import run_program
from tests.support.doorway import Identity

POLICIES = Path("/etc/chromium/policies/managed")
POLICY = POLICIES / "doorward-test.json"
NOTED = Path(tempfile.gettempdir()) / "doorward-test-chromium-policy.json"
"""Which process asked for which entries of the policy: what a killed run left is removed by the next one."""

SECONDS = 20.0


class NssStore:
    """One store, made empty.

    Args:
        folder: where its files are made.
        root: PEM file of the authority that the browser trusts for servers.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._run("certutil", "-N", "--empty-password")
        self._run("certutil", "-A", "-n", "root", "-t", "C,,", "-i", str(root))

    def add(self, who: Identity) -> None:
        """Put a certificate with its key in."""
        chain = x509.load_pem_x509_certificates(who.chain.read_bytes())
        key = load_pem_private_key(who.key.read_bytes(), None)
        bundle = self.folder / "client.p12"
        secret = BestAvailableEncryption(b"pass")
        bundle.write_bytes(serialize_key_and_certificates(b"client", key, chain[0], chain[1:], secret))  # type: ignore[arg-type]
        self.import_file(bundle, "pass")
        bundle.unlink()

    def import_file(self, file: Path, password: str) -> None:
        """Put in what a PKCS#12 file holds, as a person does by opening it."""
        self._run("pk12util", "-i", str(file), "-W", password, "-K", "")

    def remove_all(self) -> None:
        """Remove every certificate that has a key, with its key."""
        listed = self._run("certutil", "-L").splitlines()
        for line in listed:
            name, _, trust = line.rstrip().rpartition(" ")
            if trust.startswith("u"):
                self._run("certutil", "-F", "-n", name.strip())

    def _run(self, program: str, *options: str) -> str:
        command = [program, "-d", f"sql:{self.folder}", *options]
        return run_program(command, check=True, timeout=SECONDS).stdout


class Selection:
    """Which certificate Chromium takes without a dialog for addresses of a pattern.

    Args:
        pattern: as Chromium's policies have it, `https://[*.]test.localhost:8443`.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._entry = ""

    def take(self, name: str = "") -> None:
        """Take the first certificate with that common name from here on; without one, the first of all."""
        chosen = {"SUBJECT": {"CN": name}} if name else {}
        entry = json.dumps({"pattern": self._pattern, "filter": chosen})
        _change(lambda noted: self._replace(noted.setdefault(str(os.getpid()), []), entry))
        self._entry = entry

    def end(self) -> None:
        """Let the browser ask again."""
        _change(lambda noted: noted[str(os.getpid())].remove(self._entry))

    def _replace(self, entries: list[str], entry: str) -> None:
        if self._entry:
            entries.remove(self._entry)
        entries.append(entry)


@contextmanager
def chosen_by_itself(pattern: str) -> Iterator[Selection]:
    """Let Chromium choose a certificate without a dialog for addresses of this pattern, for the time of the block."""
    selection = Selection(pattern)
    selection.take()
    try:
        yield selection
    finally:
        selection.end()


def _change(change: Callable[[dict[str, list[str]]], object]) -> None:
    """Change the note under a lock, and write the policy that follows from it."""
    with NOTED.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        noted: dict[str, list[str]] = json.loads(NOTED.read_text()) if NOTED.exists() else {}
        change(noted)
        noted = {pid: found for pid, found in noted.items() if found and Path(f"/proc/{pid}").exists()}
        entries = sorted({one for found in noted.values() for one in found})
        if not entries:
            NOTED.unlink(missing_ok=True)
            POLICY.unlink(missing_ok=True)
            return
        POLICIES.mkdir(parents=True, exist_ok=True)
        NOTED.write_text(json.dumps(noted))
        # In one step: Chromium may read it at any moment.
        whole = POLICY.with_suffix(".new")
        whole.write_text(json.dumps({"AutoSelectCertificateForUrls": entries}))
        whole.replace(POLICY)

"""A renewal in work: the new key, kept from before the request until the new certificate is in use.

    DIR/.renewing/predecessor   SHA-256 of the certificate that is renewed
    DIR/.renewing/key.pem       the new key, mode 0600, made before any request is sent
    DIR/.renewing/chain.pem     the answer, checked

If a run is interrupted, the next one goes on with the same key, and the server returns the same certificate. If the
folder has another certificate by then, because another tool renewed it, the renewal in work is dropped.

Not here: the request (`renewal`), and the files in use (`generations`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from doorward.agent.generations import Identity, unusable
from doorward.agent.store import CHAIN, KEY, encode_key, load_pending_key, read_plain
from doorward.core.errors import IntegrityError
from doorward.core.ports import PrivateKey
from doorward.files import create_file, replace_file

FOLDER, PREDECESSOR = ".renewing", "predecessor"


class PendingRenewal:
    """The renewal in work of a folder. Its methods are called under `locking.turn`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._folder = directory / FOLDER

    @property
    def key_path(self) -> Path:
        """The new key's file."""
        return self._folder / KEY

    @property
    def chain_path(self) -> Path:
        """The answer's file."""
        return self._folder / CHAIN

    def begin(self, identity: Identity, make_key: Callable[[], PrivateKey]) -> PrivateKey:
        """Return the new key: of an interrupted renewal of the same certificate, or made and stored now.

        Raises:
            ConfigurationError: `folder-unusable`.
        """
        of = sha256(identity.der).hexdigest().encode("ascii")
        try:
            if self._folder.exists() and read_plain(self._folder / PREDECESSOR) == of:
                try:
                    key = load_pending_key(self.key_path)
                except IntegrityError:  # nothing depends on it yet: another one is made
                    key = None
                if key is not None:
                    return key
            self.drop()
            self._folder.mkdir(mode=0o700)
            key = make_key()
            create_file(self.key_path, encode_key(key), mode=0o600)
            create_file(self._folder / PREDECESSOR, of)
        except OSError as error:
            raise unusable(self.directory, error) from None
        return key

    def keep_answer(self, chain: bytes) -> None:
        """Store the answer.

        Raises:
            ConfigurationError: `folder-unusable`.
        """
        try:
            replace_file(self.chain_path, chain, mode=0o600)
        except OSError as error:
            raise unusable(self.directory, error) from None

    def answer(self) -> bytes | None:
        """Return the answer that an interrupted run stored."""
        try:
            return read_plain(self.chain_path)
        except OSError as error:
            raise unusable(self.directory, error) from None

    def drop(self) -> None:
        """Forget it: the new certificate is in use, or the key cannot be used."""
        shutil.rmtree(self._folder, ignore_errors=True)

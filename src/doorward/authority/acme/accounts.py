"""Accounts at ACME servers: one for each directory and external account, made once and used again.

The key is stored before the server is asked. So a crash in between makes no second account: the server returns the account
that a key has (RFC 8555 section 7.3.1). A lost record is found again in the same way; a backup of the key store keeps it all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from doorward.authority.acme.conversation import Conversation
from doorward.authority.acme.ports import AcmeOptions, AcmeRefusal, AcmeTransport
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError, Unavailable
from doorward.core.ports import KeyKind
from doorward.stores.acme_protocols import AcmeAccountRecord
from doorward.stores.services import Services

_GONE = frozenset({"accountDoesNotExist"})


class Accounts:
    """Opens conversations with the account of a directory.

    Args:
        services: with keys.
        options: contact and external account.
        transport: HTTPS.
    """

    def __init__(self, services: Services, options: AcmeOptions, transport: AcmeTransport) -> None:
        self._services = services
        self._options = options
        self._transport = transport
        self._keys: dict[int, EllipticCurvePrivateKey] = {}

    @contextmanager
    def conversation(self, directory: str) -> Iterator[Conversation]:
        """Open a conversation for the account of a directory; make the account if there is none.

        Raises:
            AcmeRefusal: the server refuses the account; after `accountDoesNotExist` the next try makes it again.
        """
        id_ = self._id(directory)
        key = self._key(f"acme-{id_}")
        with self._services.work.read() as stores:
            known = stores.acme.account(id_)
        account = known.url if known else ""
        found = Conversation(self._transport, directory, key, self._services.clock, account=account)
        self._keys[id(found)] = key
        try:
            self._open(found, known, id_, directory)
            yield found
        except AcmeRefusal as refusal:
            if refusal.kind in _GONE and known is not None:
                self._store(replace(known, url=""))
            raise
        finally:
            del self._keys[id(found)]

    def key_of(self, conversation: Conversation) -> EllipticCurvePrivateKey:
        """Return the account key of an open conversation, for key authorizations."""
        return self._keys[id(conversation)]

    def _open(self, found: Conversation, known: AcmeAccountRecord | None, id_: str, directory: str) -> None:
        contact = self._options.contact
        if not found.account:
            url = found.make_account(contact, kid=self._options.eab_kid, secret=self._options.eab_secret)
        elif known is not None and known.contact != contact:
            found.change_contact(contact)
            url = found.account
        else:
            return
        self._store(
            AcmeAccountRecord(
                id=id_,
                tenant=TENANT,
                directory=directory,
                url=url,
                contact=contact,
                key_name=f"acme-{id_}",
                created_at=self._services.clock.now() if known is None else known.created_at,
            )
        )

    def _store(self, account: AcmeAccountRecord) -> None:
        with self._services.work.change() as stores:
            stores.acme.save_account(account)

    def _id(self, directory: str) -> str:
        """Return an id that is the same after a restore: of the directory and the external account."""
        return hashlib.sha256(f"{directory}\n{self._options.eab_kid}".encode()).hexdigest()[:32]

    def _key(self, name: str) -> EllipticCurvePrivateKey:
        keys = self._services.keys
        if keys is None:
            raise Unavailable("keys-locked", "the key store is locked")
        if name not in keys.names():
            keys.store(name, self._services.factory.generate(KeyKind.P256))
        key = keys.load(name)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise IntegrityError("acme-key-foreign", f"the key {name} is not a P-256 key")
        return key

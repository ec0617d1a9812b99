"""Accounts at ACME servers: one for each directory and external account, made once and used again.

The key is stored before the server is asked. So a crash in between makes no second account: the server returns the account
that a key has (RFC 8555 section 7.3.1). A lost record is found again in the same way; a backup of the key store keeps it all.
Contact and external account are agreements with the authority of the settings. A document can name other authorities;
they get neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from doorward.authority.acme.conversation import Conversation
from doorward.authority.acme.ports import AcmeOptions, AcmeRefusal, AcmeTransport
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError, Unavailable
from doorward.core.ports import KeyKind
from doorward.stores.acme_protocols import AcmeAccountRecord
from doorward.stores.services import Services

_GONE = frozenset({"accountDoesNotExist"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenConversation:
    """A conversation, and the account's key for key authorizations."""

    conversation: Conversation
    key: EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What one authority is told about us."""

    contact: str = ""
    kid: str = ""
    secret: bytes = b""


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

    @contextmanager
    def conversation(self, directory: str) -> Iterator[OpenConversation]:
        """Open a conversation for the account of a directory; make the account if there is none.

        Raises:
            AcmeRefusal: the server refuses the account; after `accountDoesNotExist` the next try makes it again.
        """
        terms = self._terms(directory)
        id_ = _account_id(directory, terms.kid)
        key = self._key(f"acme-{id_}")
        with self._services.work.read() as stores:
            known = stores.acme.account(id_)
        account = known.url if known else ""
        found = Conversation(self._transport, directory, key, self._services.clock, account=account)
        try:
            self._open(found, known, id_, directory, terms)
            yield OpenConversation(conversation=found, key=key)
        except AcmeRefusal as refusal:
            if refusal.kind in _GONE and known is not None:
                self._store(replace(known, url=""))
            raise

    def _terms(self, directory: str) -> _Terms:
        options = self._options
        if directory != options.directory:
            return _Terms()
        return _Terms(contact=options.contact, kid=options.eab_kid, secret=options.eab_secret)

    def _open(
        self, found: Conversation, known: AcmeAccountRecord | None, id_: str, directory: str, terms: _Terms
    ) -> None:
        if not found.account:
            url = found.make_account(terms.contact, kid=terms.kid, secret=terms.secret)
        elif known is not None and known.contact != terms.contact:
            found.change_contact(terms.contact)
            url = found.account
        else:
            return
        self._store(
            AcmeAccountRecord(
                id=id_,
                tenant=TENANT,
                directory=directory,
                url=url,
                contact=terms.contact,
                key_name=f"acme-{id_}",
                created_at=self._services.clock.now() if known is None else known.created_at,
            )
        )

    def _store(self, account: AcmeAccountRecord) -> None:
        with self._services.work.change() as stores:
            stores.acme.save_account(account)

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


def _account_id(directory: str, kid: str) -> str:
    """Return an id that is the same after a restore: of the directory and the external account."""
    return hashlib.sha256(f"{directory}\n{kid}".encode()).hexdigest()[:32]

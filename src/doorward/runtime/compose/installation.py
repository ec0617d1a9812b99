"""An `Installation` is one opened data directory: database, keys, log, services, and the addresses for links.

Not here: what any part does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from doorward.core.errors import (
    ConfigurationError,
    DoorwardError,
    Fault,
    IntegrityError,
    NotFound,
    Unavailable,
)
from doorward.core.names import enrolment_host, est_host, portal_host
from doorward.core.ports import KeyKind, KeyStore
from doorward.files import replace_file
from doorward.runtime.change_notification import DatagramNotifier
from doorward.runtime.compose import lazy
from doorward.runtime.layout import Layout
from doorward.runtime.settings import Settings
from doorward.runtime.world import SoftwareKeys, SystemClock, SystemRandom
from doorward.storage.backend import Database
from doorward.storage.opening import load_driver, open_database
from doorward.storage.schema_versions import is_older, migrate, require_current
from doorward.storage.unit_of_work import SqlUnitOfWork
from doorward.stores.records import TenantRecord
from doorward.stores.renewal_terms import RenewalTerms
from doorward.stores.services import Services

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from doorward.runtime.privileges import Account
    from doorward.storage.event_store import SqlEventLog

LOG_KEY = "log-1"
Prompt = Callable[[str], str | None]


class Installation:
    """One data directory.

    Args:
        settings: as read; each part is opened when it is first used.
        passphrase_prompt: asks a person for the passphrase if no file is named; None never asks.
        one_shot: this process lives for one command: its database has no pools and no line of threads.
    """

    def __init__(
        self, settings: Settings, *, passphrase_prompt: Prompt | None = None, one_shot: bool = False
    ) -> None:
        self.settings = settings
        self.layout = Layout(settings.data)
        self._prompt = passphrase_prompt
        self._one_shot = one_shot
        self._keys: KeyStore | None = None
        self.notifier = DatagramNotifier(self.layout.run)

    @cached_property
    def database(self) -> Database:
        """The database, of this version's schema.

        Raises:
            Unavailable: `not-initialised` if there is none.
            IntegrityError: `database-lost` if there was one.
        """
        with ExitStack() as opened:
            database = self._open(one_shot=self._one_shot)
            opened.callback(database.close)
            self._require(database)
            require_current(database)
            opened.pop_all()  # it is closed by `close`
        return database

    def _open(self, *, one_shot: bool = False) -> Database:
        return open_database(self.settings.database, self.layout.database, one_shot=one_shot)

    @contextmanager
    def _existing(self) -> Iterator[Database]:
        with closing(self._open()) as database:
            self._require(database)
            yield database

    def _require(self, database: Database) -> None:
        if not database.exists():
            raise self._lost()

    def migrate(self) -> str | None:
        """Bring the database to the schema of this program; return the revision it had, None if it is current.

        Raises:
            Unavailable: `schema-newer`, and as `database`.
        """
        with self._existing() as database:
            return migrate(database)

    def needs_migration(self) -> bool:
        """Return whether the database has an older schema; raises as `migrate`."""
        with self._existing() as database:
            return is_older(database)

    @cached_property
    def event_log(self) -> SqlEventLog:
        """The evidence."""
        return lazy.event_store.SqlEventLog(self.database)

    @property
    def services(self) -> Services:
        """The ports of the use cases; with keys once `unlock` was called."""
        return Services(
            work=self._work,
            clock=SystemClock(),
            random=SystemRandom(),
            factory=SoftwareKeys(),
            keys=self._keys,
            crl_lifetime=self.settings.crl_lifetime,
            ocsp_lifetime=self.settings.ocsp_lifetime,
            crl_partitions=self.settings.crl_partitions,
            crl_deltas=self.settings.crl_deltas,
            lifetimes=self.settings.lifetimes,
            renewal=self.terms_of_renewal,
            approval_lifetime=timedelta(days=self.settings.device_approval_days),
        )

    @property
    def terms_of_renewal(self) -> RenewalTerms:
        """What the settings say about renewal."""
        return RenewalTerms(
            device_after_end=timedelta(days=self.settings.late_renewal_days_device),
            service_after_end=timedelta(days=self.settings.late_renewal_days_service),
            most_per_day=self.settings.renewals_per_day,
            hold_suspected_clones=self.settings.hold_suspected_clones,
        )

    @cached_property
    def _work(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self.database, random=SystemRandom(), notifier=self.notifier)

    # founding

    def is_founded(self) -> bool:
        """Return whether `init` was completed here."""
        if self.layout.founded.exists():
            return True
        if (tenant := self._find_tenant()) is None:
            return False
        self.mark_founded(tenant)  # the first start was interrupted just before its end
        return True

    def _find_tenant(self) -> TenantRecord | None:
        with closing(self._open()) as database:
            if not database.exists():
                return None
            work = SqlUnitOfWork(database, random=SystemRandom(), notifier=self.notifier)
            with database.read() as connection:
                begun = database.catalogue.has_table(connection, "tenants")
            if begun:
                with work.read() as stores:
                    tenant = stores.tenants.get()  # works for older schemas too: they all have the same table
                if tenant is not None:
                    self._require_own(tenant)
            migrate(database)
            with work.read() as stores:
                return stores.tenants.get()

    def _require_own(self, tenant: TenantRecord) -> None:
        """Raise if the tenant belongs to another data directory: the log's key is written into ours before the founding."""
        try:
            known = self.layout.log_key.read_text(encoding="ascii")
        except OSError:
            known = ""
        if not known.startswith(f"{log_origin(tenant.trust_domain)}+"):
            raise ConfigurationError(
                [
                    Fault(
                        code="database-taken",
                        message=f"the database belongs to the installation of {tenant.trust_domain} in another data directory",
                        hint="name an empty database, or that data directory with --data",
                        key="database",
                    )
                ]
            )

    def begin_database(self) -> None:
        """Create the database's folder or check the server, before anything else is created.

        Raises:
            ConfigurationError: what is wrong with a PostgreSQL database.
            Unavailable: as `database`.
        """
        with closing(self._open()) as database:
            database.create()

    def mark_founded(self, tenant: TenantRecord) -> None:
        """Complete the first start: change the owner of the folders, and write the mark of the founding.

        From then on root trusts this mark, which only root can write, and not the database, which the running parts can
        write. So no second authority is founded if the database is lost.
        """
        account = self.account()
        if account is not None:
            self.layout.hand_over(account.uid, account.gid)
        fixed = {"trust_domain": tenant.trust_domain, "status_url": tenant.status_url}
        # Durably: if a power cut removed it, the next start would trust the database again.
        replace_file(self.layout.founded, json.dumps(fixed).encode() + b"\n", mode=0o644)

    def found(self, *, actor: str) -> TenantRecord:
        """Make key store, database and authority; use what an interrupted run left.

        The last step is one transaction that founds the authority: before it nothing is founded, after it nothing is
        missing.
        """
        self.begin_founding()
        return lazy.founding.found(
            self.services,
            trust_domain=self.settings.trust_domain,
            status_url=self.settings.public_status_url,
            actor=actor,
        )

    def begin_founding(self) -> None:
        """Make key store, database and the log's key, or use what an earlier run left; nothing is founded."""
        passphrase = self.read_passphrase(self.settings.passphrase_file, "passphrase for the key store")
        store = lazy.keystore.FileKeyStore
        found = store.exists(self.layout.keys)
        self._keys = (store.open if found else store.create)(self.layout.keys, passphrase)
        with closing(self._open()) as database:
            migrate(database)
        if LOG_KEY not in self._keys.names():
            self._keys.store(LOG_KEY, SoftwareKeys().generate(KeyKind.ED25519))
        self._write_log_key()

    def require_founded(self) -> None:
        """Raise `Unavailable` (`not-initialised`) if the first start was not completed; opens nothing."""
        if not self.layout.founded.exists():
            raise _not_initialised(self.settings.data)

    def founded_with(self) -> dict[str, str]:
        """Return what the founding fixed: `trust_domain` and `status_url`.

        Raises:
            IntegrityError: `mark-damaged` if the mark cannot be read.
        """
        try:
            value = json.loads(self.layout.founded.read_text(encoding="utf-8"))
            return {"trust_domain": str(value["trust_domain"]), "status_url": str(value["status_url"])}
        except (OSError, ValueError, KeyError, TypeError):
            raise IntegrityError(
                "mark-damaged", f"{self.layout.founded} cannot be read", hint="restore it from your backup"
            ) from None

    def account(self) -> Account | None:
        """Return the user that the running parts become; None if this process does not run as root.

        Raises:
            ConfigurationError: `user-unknown`, `user-is-root`.
        """
        if not lazy.roles.is_root():
            return None
        return lazy.privileges.choose_account(
            self.settings.user, required="user" in self.settings.model_fields_set
        )

    def load_database_driver(self) -> None:
        """Import the database's driver before root is given up; raises as `opening.load_driver`."""
        load_driver(self.settings.database)

    def prepare_folders(self) -> None:
        """Before a start: make the folders that a restored backup lacks; as root, check that the ordinary user owns them.

        Raises:
            ConfigurationError: as `Layout.make_missing` and `Layout.check_owner`.
        """
        account = self.account()
        self.layout.make_missing(None if account is None else (account.uid, account.gid))
        if account is not None:
            self.layout.check_owner(account.uid)

    # keys

    def unlock(self) -> None:
        """Open the key store.

        Raises:
            Unavailable: `not-initialised`, or no passphrase is available.
            NotFound: `keystore-missing` if there was one.
            RequestRefused: `passphrase-wrong`.
        """
        if self._keys is None:
            if not (lazy.keystore.FileKeyStore.exists(self.layout.keys) or self.layout.founded.exists()):
                raise _not_initialised(self.settings.data)
            passphrase = self.read_passphrase(self.settings.passphrase_file, "passphrase of the key store")
            self._keys = lazy.keystore.FileKeyStore.open(self.layout.keys, passphrase)

    def unlock_if_possible(self) -> str:
        """Open the key store if possible; return the error's code, or an empty text.

        For withdrawals: an operator who may change the database may revoke, even without the passphrase.
        """
        try:
            self.unlock()
        except DoorwardError as error:
            return error.code
        except OSError:
            return "file-unusable"
        return ""

    def read_passphrase(self, file: Path | None, question: str, *, option: str = "") -> bytes:
        """Read a passphrase from a file, a systemd credential, or a person; the error names the option, if any."""
        ask = self._prompt
        return lazy.passphrase.read_passphrase(
            file, prompt=None if ask is None else lambda: ask(question), question=question, option=option
        )

    def log_key(self) -> Ed25519PrivateKey:
        """Return the key that signs checkpoints; the key store must be unlocked."""
        if self._keys is None:
            raise Unavailable("keys-locked", "the key store is locked")
        key = self._keys.load(LOG_KEY)
        if not isinstance(key, lazy.ed25519.Ed25519PrivateKey):
            raise IntegrityError("log-key-foreign", f"the key {LOG_KEY} is not an Ed25519 key")
        return key

    def log_origin(self) -> str:
        """Return the name of the log."""
        return log_origin(self.tenant().trust_domain)

    def log_verifier_key(self) -> str:
        """Return the verifier key of the log, as the founding wrote it."""
        try:
            return self.layout.log_key.read_text(encoding="ascii").strip()
        except OSError:
            raise NotFound(
                "log-key-missing",
                f"{self.layout.log_key} cannot be read",
                hint="give the verifier key that you kept: doorward audit verify --key FILE",
            ) from None

    def _write_log_key(self) -> None:
        key = lazy.note.verifier_key(log_origin(self.settings.trust_domain), self.log_key().public_key())
        replace_file(
            self.layout.log_key, lazy.note.render_verifier_key(key).encode("ascii") + b"\n", mode=0o644
        )

    # what people are told

    def tenant(self) -> TenantRecord:
        """Return the tenant.

        Raises:
            Unavailable: `not-initialised`.
            ConfigurationError: `database-taken` if the setting names another installation's database.
        """
        with self._work.read() as stores:
            tenant = stores.tenants.get()
        if tenant is None:
            raise self._lost()
        if self.settings.database:
            self._require_own(tenant)
        return tenant

    def _lost(self) -> DoorwardError:
        if not self.layout.founded.exists():
            return _not_initialised(self.settings.data)
        return IntegrityError(
            "database-lost",
            f"an authority was founded in {self.settings.data}, and its database is missing",
            hint="restore it from your backup; a new authority needs another directory (--data)",
        )

    def enrolment_origin(self) -> str:
        """Return the address of the enrolment host as people see it."""
        return origin_of(*self._enrolment_place())

    def est_host(self) -> str:
        """Return the EST server's host: the setting, or the default of the trust domain; empty if it is switched off."""
        if not self.settings.est:
            return ""
        return self.settings.est_host or est_host(self.tenant().trust_domain)

    def est_origin(self) -> str:
        """Return the address of the EST server as clients see it; empty if it is switched off."""
        host = self.est_host()
        return origin_of(host, self._public_port()) if host else ""

    def portal_host(self) -> str:
        """Return the portal's host: the setting, or the default of the trust domain."""
        return self.settings.portal_host or portal_host(self.tenant().trust_domain)

    def portal_origin(self) -> str:
        """Return the address of the portal as people see it, which is the origin of its pages (RFC 6454)."""
        return origin_of(self.portal_host(), self._public_port())

    def is_portal_trusted(self) -> bool:
        """Return whether the settings say that browsers trust the portal's server certificate."""
        settings = self.settings
        return (
            settings.portal_certificate is not None or settings.portal_from_acme or settings.root_is_deployed
        )

    def joining_link(self, token: str) -> str:
        """Return the one-time link of an invitation for a browser; empty if browsers do not trust the portal.

        The token stands behind the `#`, which no browser sends (docs/design/0003); a browser cannot check a pin.
        """
        if not self.is_portal_trusted():
            return ""
        return f"{self.portal_origin()}{lazy.link.JOIN_PATH}#{token}"

    def enrolment_link(self, token: str) -> str:
        """Return the one-time link of an invitation: address, token, and the pin of the root."""
        host, port = self._enrolment_place()
        pin = hashlib.sha256(lazy.inventory.root_certificate(self.services).der).hexdigest()
        return lazy.link.render_link(lazy.link.Link(host=host, port=port, token=token, root_sha256=pin))

    def link_maker(self) -> Callable[[str], tuple[str, str]]:
        """Return a function that makes the two links of a token, as `enrolment_link` and `joining_link`, without reading anything."""
        host, port = self._enrolment_place()
        pin = hashlib.sha256(lazy.inventory.root_certificate(self.services).der).hexdigest()
        joining = f"{self.portal_origin()}{lazy.link.JOIN_PATH}" if self.is_portal_trusted() else ""

        def make_links(token: str) -> tuple[str, str]:
            link = lazy.link.Link(host=host, port=port, token=token, root_sha256=pin)
            return lazy.link.render_link(link), f"{joining}#{token}" if joining else ""

        return make_links

    def _enrolment_place(self) -> tuple[str, int]:
        return enrolment_host(self.tenant().trust_domain), self._public_port()

    def _public_port(self) -> int:
        """Return the port for links: the setting, or the running door's port, or the port in the settings file.

        `up --listen` gives the running door another port than the settings file, which a command reads.
        """
        if self.settings.gateway_public_port:
            return self.settings.gateway_public_port
        for one in lazy.gateways.confirmations(self.services, 0):
            if one.fresh and one.gateway.name == self.settings.gateway_name:
                for text in _listening(one.gateway.status):
                    port = text.rpartition(":")[2]
                    if port.isdecimal():
                        return int(port)
        return self.settings.public_port

    def close(self) -> None:
        """Close the database; it is opened again when it is asked for."""
        if "database" in self.__dict__:
            self.database.close()
        for name in ("database", "event_log", "_work"):
            self.__dict__.pop(name, None)


def origin_of(host: str, port: int) -> str:
    """Return the origin of a host of ours as browsers write it (RFC 6454 section 6.1)."""
    return f"https://{host}" + ("" if port == lazy.link.DEFAULT_PORT else f":{port}")


def _listening(status: str) -> list[str]:
    """Return the addresses in a gateway's status; nothing if the status is malformed."""
    try:
        said = json.loads(status)
    except ValueError:
        return []
    found = said.get("listen") if isinstance(said, dict) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def log_origin(trust_domain: str) -> str:
    """Return the name of the log of a trust domain, which is the name of its key."""
    return f"{trust_domain}/audit"


def _not_initialised(data: Path) -> Unavailable:
    if Layout(data).founding.exists():
        return Unavailable(
            "not-initialised",
            f"the installation in {data} waits for the certificate that its root makes",
            hint="with that certificate: doorward ca install CERTIFICATE --root ROOT",
        )
    return Unavailable(
        "not-initialised",
        f"there is no installation in {data}",
        hint="make one with `doorward init`, or name the right directory with --data or DOORWARD_DATA",
    )

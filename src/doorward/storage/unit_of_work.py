"""`stores.protocols.UnitOfWork` over SQL: one transaction, all stores, and the change notification after the commit.

Not here: the stores (`repositories`, `event_store`), connections (`database`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from doorward.audit.block import SealedBlock, fits_block, seal_block
from doorward.audit.events import Event
from doorward.audit.leaf import SALT_BYTES, seal_event
from doorward.core.entities import TENANT
from doorward.core.ports import ChangeNotifier, RandomSource
from doorward.storage import repositories
from doorward.storage.backend import Database
from doorward.storage.event_outbox import SqlEventOutbox
from doorward.storage.repositories.acme import SqlAcme
from doorward.storage.repositories.directory import SqlDirectory, SqlTenants
from doorward.storage.repositories.endings import SqlEndings
from doorward.storage.repositories.factors import SqlEnrolmentTickets, SqlFactors, SqlThrottles
from doorward.storage.repositories.facts import SqlFacts
from doorward.storage.repositories.gateway_states import SqlGateways
from doorward.storage.repositories.holder_notes import SqlHolderNotes
from doorward.storage.repositories.invitations import SqlInvitations
from doorward.storage.repositories.notices import SqlMailAddresses, SqlNotices
from doorward.storage.repositories.policies import SqlApplications, SqlChanges, SqlRevisions
from doorward.storage.repositories.rollovers import SqlRollovers
from doorward.storage.repositories.session_keys import SqlSessionKeys
from doorward.storage.repositories.sessions import SqlEpochs, SqlSessions
from doorward.storage.repositories.step_ups import SqlSessionCodes, SqlStepUps
from doorward.storage.repositories.suspected_clones import SqlSuspectedClones
from doorward.storage.transaction import Transaction

if TYPE_CHECKING:
    from doorward.storage.repositories.authorities import SqlAuthorities, SqlStatus
    from doorward.storage.repositories.certificates import SqlCertificates
    from doorward.storage.repositories.deltas import SqlDeltas
    from doorward.storage.repositories.evidence import SqlEvidence
    from doorward.storage.repositories.fleets import (
        SqlDeviceEnrolments,
        SqlEnrolmentTags,
        SqlFactorySerials,
    )
    from doorward.storage.repositories.gateways import SqlIngest, SqlOrders
    from doorward.storage.repositories.manufacturers import SqlManufacturers
    from doorward.storage.repositories.partners import SqlPartners


class SqlOutbox:
    """`stores.protocols.EventOutbox`: seals each event under a fresh salt."""

    def __init__(self, transaction: Transaction, random: RandomSource) -> None:
        self._store = SqlEventOutbox(transaction)
        self._random = random

    def add(self, event: Event) -> None:
        """Queue one event."""
        self.add_all([event])

    def add_all(self, events: Sequence[Event]) -> None:
        """Queue many events, as a block if they can be one: that is less to write, to place and to keep."""
        if fits_block(events):
            self.add_block(seal_block(events, self._seeds()))
        else:
            self._store.record_all([seal_event(event, self._random.token(SALT_BYTES)) for event in events])

    def add_block(self, block: SealedBlock) -> None:
        """Queue the events of a block."""
        self._store.record_block(block)

    def _seeds(self) -> Iterator[bytes]:
        while True:
            yield self._random.token(SALT_BYTES)

    def waiting(self) -> int:
        """Return how many events wait for the sequencer."""
        return self._store.waiting()


class SqlStores:
    """`stores.protocols.Stores`; the stores but the tenant's and the directory have no state, so each access makes a new one.

    Stores of common commands run SQL text. The others need Core and are imported on first access.
    """

    def __init__(self, transaction: Transaction, random: RandomSource) -> None:
        self._transaction = transaction
        self._random = random
        self._tenants = SqlTenants(transaction)
        self._directory = SqlDirectory(transaction)

    @property
    def tenants(self) -> SqlTenants:
        """The tenant."""
        return self._tenants

    @property
    def directory(self) -> SqlDirectory:
        """Persons, devices, services, groups."""
        return self._directory

    @property
    def applications(self) -> SqlApplications:
        """Names of applications."""
        return SqlApplications(self._transaction)

    @property
    def authorities(self) -> SqlAuthorities:
        """Own authority certificates."""
        return repositories.authorities.SqlAuthorities(self._transaction)

    @property
    def certificates(self) -> SqlCertificates:
        """The inventory."""
        return repositories.certificates.SqlCertificates(self._transaction)

    @property
    def invitations(self) -> SqlInvitations:
        """One-time invitations."""
        return SqlInvitations(self._transaction)

    @property
    def revisions(self) -> SqlRevisions:
        """Revisions of the policy document."""
        return SqlRevisions(self._transaction)

    @property
    def changes(self) -> SqlChanges:
        """The change sequence."""
        return SqlChanges(self._transaction)

    @property
    def outbox(self) -> SqlOutbox:
        """Events that are not in the tree yet."""
        return SqlOutbox(self._transaction, self._random)

    @property
    def gateways(self) -> SqlGateways:
        """The gateways."""
        return SqlGateways(self._transaction)

    @property
    def orders(self) -> SqlOrders:
        """Requests for server certificates."""
        return repositories.gateways.SqlOrders(self._transaction)

    @property
    def status(self) -> SqlStatus:
        """Revocation lists and OCSP answers."""
        return repositories.authorities.SqlStatus(self._transaction)

    @property
    def deltas(self) -> SqlDeltas:
        """Changes of status, and the CRLs that deltas extend."""
        return repositories.deltas.SqlDeltas(self._transaction)

    @property
    def ingest(self) -> SqlIngest:
        """Read positions in access logs."""
        return repositories.gateways.SqlIngest(self._transaction)

    @property
    def partners(self) -> SqlPartners:
        """Partners and their authorities."""
        return repositories.partners.SqlPartners(self._transaction)

    @property
    def evidence(self) -> SqlEvidence:
        """CRLs and OCSP answers of partners."""
        return repositories.evidence.SqlEvidence(self._transaction)

    @property
    def factors(self) -> SqlFactors:
        """Second factors."""
        return SqlFactors(self._transaction)

    @property
    def enrolment_tickets(self) -> SqlEnrolmentTickets:
        """Rights to enrol a first factor."""
        return SqlEnrolmentTickets(self._transaction)

    @property
    def sessions(self) -> SqlSessions:
        """Sessions of the portal and of applications."""
        return SqlSessions(self._transaction)

    @property
    def step_ups(self) -> SqlStepUps:
        """Step-ups in progress."""
        return SqlStepUps(self._transaction)

    @property
    def session_codes(self) -> SqlSessionCodes:
        """One-use codes of applications' callbacks."""
        return SqlSessionCodes(self._transaction)

    @property
    def epochs(self) -> SqlEpochs:
        """Session epochs."""
        return SqlEpochs(self._transaction)

    @property
    def throttles(self) -> SqlThrottles:
        """Failed tries."""
        return SqlThrottles(self._transaction)

    @property
    def facts(self) -> SqlFacts:
        """Facts about certificates."""
        return SqlFacts(self._transaction)

    @property
    def holder_notes(self) -> SqlHolderNotes:
        """Notes of holders about their certificates."""
        return SqlHolderNotes(self._transaction)

    @property
    def acme(self) -> SqlAcme:
        """Accounts, orders and challenges at ACME authorities."""
        return SqlAcme(self._transaction)

    @property
    def rollovers(self) -> SqlRollovers:
        """Rollovers of the issuing authority."""
        return SqlRollovers(self._transaction)

    @property
    def session_keys(self) -> SqlSessionKeys:
        """Keys that sign sessions."""
        return SqlSessionKeys(self._transaction)

    @property
    def suspected_clones(self) -> SqlSuspectedClones:
        """Lines of certificates with two holders of keys."""
        return SqlSuspectedClones(self._transaction)

    @property
    def endings(self) -> SqlEndings:
        """Certificates by their end."""
        return SqlEndings(self._transaction)

    @property
    def mail_addresses(self) -> SqlMailAddresses:
        """Mail addresses of principals."""
        return SqlMailAddresses(self._transaction)

    @property
    def notices(self) -> SqlNotices:
        """Notices about certificates that end."""
        return SqlNotices(self._transaction)

    @property
    def manufacturers(self) -> SqlManufacturers:
        """Manufacturers of devices."""
        return repositories.manufacturers.SqlManufacturers(self._transaction)

    @property
    def device_enrolments(self) -> SqlDeviceEnrolments:
        """Enrolments of devices."""
        return repositories.fleets.SqlDeviceEnrolments(self._transaction)

    @property
    def enrolment_tags(self) -> SqlEnrolmentTags:
        """How devices are approved."""
        return repositories.fleets.SqlEnrolmentTags(self._transaction)

    @property
    def factory_serials(self) -> SqlFactorySerials:
        """Serial numbers that were stated before the devices came."""
        return repositories.fleets.SqlFactorySerials(self._transaction)


class SqlUnitOfWork:
    """Opens transactions on the stores of one tenant. Safe to share between threads.

    Args:
        database: migrated to this version's schema.
        random: where the salts of events come from.
        notifier: called before and after each commit that moves the change sequence.
        tenant: the id of the tenant.
    """

    def __init__(
        self, database: Database, *, random: RandomSource, notifier: ChangeNotifier, tenant: str = TENANT
    ) -> None:
        self._database = database
        self._random = random
        self._notifier = notifier
        self._tenant = tenant
        self._inside = threading.local()

    @contextmanager
    def read(self) -> Iterator[SqlStores]:
        """Open a consistent snapshot, taken by the first look-up; writing through it raises."""
        with self._database.read() as connection:
            yield SqlStores(Transaction(connection, self._tenant, writable=False), self._random)

    @contextmanager
    def change(self, *, traffic: bool = False) -> Iterator[SqlStores]:
        """Open a write transaction: committed durably at the end, rolled back on any exception.

        Args:
            traffic: refuse the change (`store-full`) if it would use the space that is reserved for withdrawals.

        Raises:
            RuntimeError: this thread is already inside a change, so it would wait for itself.
            Unavailable: `store-busy`, `store-full` and the other codes of `faults`: nothing was changed.
            IntegrityError: `store-damaged`, `store-contradiction`.
        """
        if getattr(self._inside, "change", False):
            raise RuntimeError("a change within a change of the same thread would wait for itself")
        self._inside.change = True
        try:
            with self._database.write(traffic=traffic) as connection:
                transaction = Transaction(connection, self._tenant, writable=True)
                yield SqlStores(transaction, self._random)
                if transaction.sequence_moved:
                    self._notifier.announce()
                    self._database.notify_on_commit(connection)
        finally:
            self._inside.change = False
        if transaction.sequence_moved:
            self._notifier.notify()

    def commit_marks(self) -> Callable[[], object | None]:
        """Return a function with equal results only if nothing was committed in between; None means that it cannot tell."""
        return self._database.commit_marks()

    def record(self, events: Sequence[Event]) -> None:
        """Store events that change no state, durably, in one transaction; no notification is sent."""
        if not events:
            return
        with self.change(traffic=True) as stores:
            stores.outbox.add_all(events)

"""When a certificate from an ACME server is due: at two thirds of its life, or when the server says so.

A server with renewal information (RFC 9773) names a window, and may move it to now before it revokes certificates. It is
asked again as often as it says, at least once a day; a renewal time within the window is chosen for each order, always the
same one. If the server cannot be asked, the last known time stays.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509

from doorward.authority.acme.accounts import Accounts
from doorward.authority.acme.pauses import DirectoryPauses
from doorward.authority.acme.ports import AcmeRefusal
from doorward.core.errors import DoorwardError
from doorward.core.spread import fraction_of
from doorward.stores.acme_protocols import AcmeOrderRecord
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services
from doorward.wire.acme import RenewalWindow
from doorward.wire.acme_jws import renewal_id

SHORTEST_ASKING = timedelta(minutes=1)
LONGEST_ASKING = timedelta(days=1)
USUAL_ASKING = timedelta(hours=6)
"""RFC 9773 section 4.3.2 wants Retry-After obeyed, and a limit of our own for values without sense."""

_LATEST = 0.9
"""Of the life: the last moment that a server may name; afterwards there would be no time for failures."""


def choose_in_window(window: RenewalWindow, order_id: str) -> datetime:
    """Return the time in a window for an order: always the same one, spread evenly over orders."""
    return window.start + (window.end - window.start) * fraction_of(order_id)


def ask_for_windows(
    services: Services, accounts: Accounts, pauses: DirectoryPauses, default_directory: str
) -> None:
    """Ask the servers of all certificates that are due to be asked about; store new renewal times."""
    now = services.clock.now()
    with services.work.read() as stores:
        due = [
            one for one in stores.acme.due(now) if one.chain and one.ask_again_at and one.ask_again_at <= now
        ]
    if due:
        pauses.read()
    for one in due:
        directory = one.directory or default_directory
        if pauses.is_paused(directory):
            continue
        asked = _asked(services, accounts, pauses, one, directory)
        with services.work.change() as stores:
            if stores.acme.replace_order(asked) and asked.renew_at != one.renew_at:
                stores.changes.note(ChangeKind.ORDER, one.order_id, now)


def _asked(
    services: Services, accounts: Accounts, pauses: DirectoryPauses, record: AcmeOrderRecord, directory: str
) -> AcmeOrderRecord:
    leaf = x509.load_pem_x509_certificate(record.chain)
    begin, end = leaf.not_valid_before_utc, record.ends_at or leaf.not_valid_after_utc
    now = services.clock.now()
    if end <= now:
        # it was not renewed: its application or its gateway is gone
        return replace(record, ask_again_at=None)
    wait, renew_at = USUAL_ASKING, record.renew_at
    try:
        with accounts.conversation(directory) as opened:
            conversation = opened.conversation
            window = conversation.renewal_window(renewal_id(leaf))
            wait = timedelta(seconds=conversation.wait_seconds) if conversation.wait_seconds else USUAL_ASKING
    except DoorwardError as error:
        # RFC 9773 section 4.3.3: failures change nothing
        if isinstance(error, AcmeRefusal) and error.is_network:
            pauses.begin(directory)
        return replace(record, ask_again_at=now + USUAL_ASKING)
    if window is not None:
        renew_at = min(choose_in_window(window, record.order_id), begin + (end - begin) * _LATEST)
    wait = min(max(wait, SHORTEST_ASKING), LONGEST_ASKING, (end - begin) / 10)
    return replace(record, renew_at=renew_at, ask_again_at=now + wait)

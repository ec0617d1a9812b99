"""A rollover of the root under load: 20 clients that have only the old root reconnect through all phases."""

from __future__ import annotations

import ssl
import time
from datetime import timedelta

from doorward.authority.authority_certificates import root_bundle
from doorward.authority.rollover import leaving, moving, root_preparing
from doorward.authority.rollover.progress import measure_progress
from tests.support.doorway import ACTOR, open_doorway
from tests.support.rollover import Reconnecting, done, reconnecting, renew

CLIENTS = 20
LONG_SECONDS = 300.0


def test_clients_with_only_the_old_root_see_no_refusal() -> None:
    """No handshake fails from the first phase to the last; then an old leaf is refused, and the new root alone verifies."""
    with open_doorway() as doorway:
        services, names = doorway.services, [f"p{one}" for one in range(CLIENTS)]
        for name in names:
            doorway.person(name, "staff")
        doorway.apply()
        old_leaf = doorway.identities[names[0]]
        with reconnecting(doorway, *names, threads=CLIENTS, pause_seconds=0.2) as seen:
            done(doorway, lambda: root_preparing.prepare_root(services, actor=ACTOR))
            let_all_reconnect(seen)
            done(doorway, lambda: moving.activate(services, actor=ACTOR))
            let_all_reconnect(seen)
            rollover = done(doorway, lambda: moving.drain(services, actor=ACTOR, window=timedelta(0)))
            let_all_reconnect(seen)
            for name in names:
                renew(doorway, name)
            limit = time.monotonic() + LONG_SECONDS
            while any(one.why for one in measure_progress(services, rollover).gateways):
                assert time.monotonic() < limit
                time.sleep(0.1)
            let_all_reconnect(seen)
        done(doorway, lambda: leaving.retire(services, actor=ACTOR))
        leaving.finish_leaving(services, actor=ACTOR)
        (root,) = root_bundle(services)
        doorway.root.write_text(ssl.DER_cert_to_PEM_cert(root), encoding="ascii")
        assert all(doorway.lets_in(name) for name in names)
        doorway.identities["old"] = old_leaf
        assert not doorway.lets_in("old")
        assert seen.failures == []
        print(f"  {seen.answered} connections of clients with only the old root, none refused")


def let_all_reconnect(seen: Reconnecting) -> None:
    """Wait until there were so many further connections that each client has made about two."""
    limit, before = time.monotonic() + LONG_SECONDS, seen.answered
    while seen.answered < before + 2 * CLIENTS:
        assert time.monotonic() < limit
        time.sleep(0.1)

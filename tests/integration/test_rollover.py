"""A rollover of the issuing authority through a running door: no handshake is refused until the old authority retires."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.authority.authority_certificates import root_bundle
from doorward.authority.rollover import leaving, moving, preparing, root_preparing
from doorward.authority.rollover.progress import measure_progress
from doorward.core.errors import RequestRefused
from doorward.stores.authority_protocols import RolloverState
from tests.support.doorway import ACTOR, Doorway, open_doorway
from tests.support.refusals import refused
from tests.support.rollover import done, reconnecting, renew

LONG_SECONDS = 60.0
"""Each step takes well under a second."""


@pytest.fixture(scope="module")
def doorway() -> Iterator[Doorway]:
    """A door with one application for the staff."""
    with open_doorway() as made:
        made.apply()
        yield made


def served_issuer(doorway: Doorway) -> str:
    """Return the issuer's name of the server certificate that the door shows."""
    with doorway.session(None) as session:
        der = session.socket.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).issuer.rfc4514_string()


def test_a_rollover_refuses_no_handshake_and_then_the_old_authority(doorway: Doorway) -> None:
    """Clients reconnect through every phase without a failure; then an abandoned leaf is refused and its connection cut."""
    services = doorway.services
    for name in ("ann", "ben", "cay", "lost"):
        doorway.person(name, "staff")
    with (
        doorway.session(doorway.identities["lost"]) as live,
        reconnecting(doorway, "ann", "ben", "cay") as seen,
    ):
        assert live.request("GET", "/x").status == 200
        done(doorway, lambda: preparing.prepare(services, actor=ACTOR))
        doorway.person("dan", "staff")  # newcomers in every phase
        assert doorway.lets_in("dan")
        done(doorway, lambda: moving.activate(services, actor=ACTOR))
        doorway.person("eve", "staff")
        assert doorway.lets_in("eve")
        assert "Issuing 1" in served_issuer(doorway)
        rollover = done(doorway, lambda: moving.drain(services, actor=ACTOR, window=timedelta(0)))
        doorway.person("fay", "staff")
        assert doorway.lets_in("fay")
        limit = time.monotonic() + LONG_SECONDS
        while any(one.why for one in measure_progress(services, rollover).gateways):
            assert time.monotonic() < limit
            time.sleep(0.02)
        assert "Issuing 2" in served_issuer(doorway)
        for name in ("ann", "ben", "cay", "dan"):
            renew(doorway, name)
            assert doorway.lets_in(name)
        with refused(RequestRefused, "rollover-incomplete"):
            leaving.retire(services, actor=ACTOR)
        assert [one.subject_name for one in measure_progress(services, rollover).missing] == ["lost"]
        status = json.loads(doorway.command("ca", "rotate", "status", "--json").stdout)
        assert (status["state"], status["replaced"], status["total"]) == ("draining", 4, 5)
        (missing,) = status["missing"]
        assert (missing["subject"], missing["state"]) == ("lost", "valid")
        assert "last_seen" in missing  # the gateway notes it once a minute at most
        assert live.request("GET", "/x").status == 200
        done(doorway, lambda: leaving.retire(services, actor=ACTOR, abandon_missing=True))
        with pytest.raises((OSError, http.client.HTTPException)):
            live.request("GET", "/x")
        assert not doorway.lets_in("lost")
        for name in ("ann", "dan", "eve", "fay"):
            assert doorway.lets_in(name)
        finished = leaving.finish_leaving(services, actor=ACTOR)
        assert finished is None or finished.state is RolloverState.RETIRED
        assert doorway.lets_in("ann")
    assert seen.failures == []
    assert seen.answered > 20


def test_a_root_rollover_refuses_no_client_that_has_only_the_old_root(doorway: Doorway) -> None:
    """The door sends NewWithOld with its chain, and admits leaves with it in theirs; the old leaf ends with its root."""
    services = doorway.services
    doorway.person("gus", "staff")
    before = doorway.identities["gus"]
    with reconnecting(doorway, "gus") as seen:
        done(doorway, lambda: root_preparing.prepare_root(services, actor=ACTOR))
        done(doorway, lambda: moving.activate(services, actor=ACTOR))
        rollover = done(doorway, lambda: moving.drain(services, actor=ACTOR, window=timedelta(0)))
        limit = time.monotonic() + LONG_SECONDS
        while any(one.why for one in measure_progress(services, rollover).gateways):
            assert time.monotonic() < limit
            time.sleep(0.02)
        assert "Issuing 3" in served_issuer(doorway)  # verified with the old root alone
        renew(doorway, "gus")
        assert doorway.identities["gus"].chain.read_text().count("BEGIN") == 3
        assert doorway.lets_in("gus")
    assert seen.failures == []
    done(doorway, lambda: leaving.retire(services, actor=ACTOR, abandon_missing=True))
    leaving.finish_leaving(services, actor=ACTOR)
    (root,) = root_bundle(services)
    doorway.root.write_text(ssl.DER_cert_to_PEM_cert(root), encoding="ascii")
    assert doorway.lets_in("gus")
    doorway.identities["before"] = before
    assert not doorway.lets_in("before")

"""kill -9 of `serve` or the gateway at each request of an ACME order: none is stuck, and nothing is made twice or without a record.

Each round names another directory, by another relay before the same pebble, and another host, because a host has only some
orders a day. So each round has every step: account, order, challenge through the door, request, certificate. `ROUNDS` in the environment changes how many.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509

from doorward.access.policies import apply_document
from doorward.audit.events import EventType
from doorward.stores.acme_protocols import AcmeOrderRecord
from tests.support.acme_authorities import Server, pebble, round_host
from tests.support.doorway import ACTOR, DOMAIN, eventually, render_document
from tests.support.house import House, open_house
from tests.support.killing_relay import KillingRelay, Moment, killing_relay

ROUNDS = int(os.environ.get("ROUNDS", "50"))
SEED = 20261129
REQUESTS = 13
"""Of an order without a refused nonce: directory, nonce, account, order, authorization, challenge, some polls, request, certificate."""

WITHIN_SECONDS = 150.0
"""A gateway that is killed cannot show the challenge; the order then fails and is tried again after a minute."""

SETTLED_SECONDS = 10.5
"""A process that ran for so long is started again without a pause."""


@dataclass(frozen=True, slots=True)
class Blow:
    """Which process dies, at which request, and when."""

    at: int
    victim: str
    moment: Moment

    def __str__(self) -> str:
        return f"{self.victim} at request {self.at}, {self.moment.value}"


BLOWS = [
    Blow(at, victim, moment)
    for at in range(1, REQUESTS + 1)
    for victim, moment in (
        ("serve", Moment.ASKED),
        ("serve", Moment.ANSWERED),
        ("gateway", Moment.ASKED),
    )
]


@pytest.mark.timeout(3600)
def test_killed_with_pebble(tmp_path: Path, *, is_inside: bool) -> None:
    """Every round ends with a new certificate, its record, and no challenge; an account is made once in each directory."""
    if not is_inside:
        return
    blows = random.Random(SEED).sample(BLOWS, len(BLOWS))
    with pebble(tmp_path) as server, ExitStack() as stack:
        roots = Path(stack.enter_context(TemporaryDirectory())) / "roots.pem"
        roots.write_bytes(server.roots.read_bytes())
        roots.parent.chmod(0o755)  # the parts give up root
        environment = {"DOORWARD_ACME_CA_FILE": str(roots), "DOORWARD_ACME_CHALLENGE": "tls-alpn-01"}
        settings = {"gateway_listen": "127.0.0.1:443"}
        house = stack.enter_context(open_house(settings=settings, environment=environment))
        seen: set[int] = set()
        happened: Counter[str] = Counter()
        for _, blow in zip(range(ROUNDS), itertools.cycle(blows), strict=False):
            relay = stack.enter_context(killing_relay(server.port))
            time.sleep(SETTLED_SECONDS)
            name = round_host(len(seen))
            took = one_round(house, relay, blow, name, seen)
            print(f"{blow}: {'killed' if relay.happened else 'too few requests'}, {took:.1f} s", flush=True)
            happened[blow.victim] += relay.happened
            hold(house, server, name, rounds=len(seen))
        print(f"killed: {dict(happened)}")
        assert happened.total() >= ROUNDS // 2


def one_round(house: House, relay: KillingRelay, blow: Blow, name: str, seen: set[int]) -> float:
    """Name a new directory, kill at a request, and wait for the certificate; return the seconds."""
    pid = house.wait_for_pid(blow.victim, seconds=60)
    relay.arm(at=blow.at, moment=blow.moment, kill=lambda: os.kill(pid, signal.SIGKILL))
    directory = f"https://acme.test:{relay.port}/dir"
    source = f'{{from: acme, directory: "{directory}"}}'
    began = time.monotonic()
    document = render_document(house.app("app", hosts=name, certificates=source))
    apply_document(house.services, document, file="test.yaml", actor=ACTOR)

    def is_new() -> bool:
        found = shown(house, name)
        return (
            found is not None
            and DOMAIN not in found.issuer.rfc4514_string()
            and found.serial_number not in seen
        )

    wait_for(is_new, house)
    took = time.monotonic() - began
    found = shown(house, name)
    assert found is not None
    seen.add(found.serial_number)
    if relay.happened:
        house.wait_for_pid(blow.victim, other_than=pid, seconds=60)
    return took


def hold(house: House, server: Server, name: str, *, rounds: int) -> None:
    """Check what must be after a round."""

    def is_quiet() -> bool:
        found = records(house)
        return len(found) == 1 and bool(found[0].chain) and not is_challenge_shown(house, name)

    wait_for(is_quiet, house)
    (record,) = records(house)
    assert (record.url, record.lease, record.failures, record.next_try_at) == ("", "", 0, None)
    with house.services.work.read() as stores:
        assert stores.acme.challenges() == []
        assert len([one for one in stores.orders.open() if one.purpose.startswith("app_")]) == 0
    at_door = shown(house, name)
    assert at_door is not None
    obtained = [one["data"]["serial"] for one in house.events(EventType.SERVER_CERTIFICATE_OBTAINED)]
    assert obtained[-1] == f"{at_door.serial_number:x}"
    assert len(obtained) == len(set(obtained)) == rounds
    keys = house.services.keys
    assert keys is not None
    assert len([one for one in keys.names() if one.startswith("acme-")]) == rounds
    counts = [int(one) for one in re.findall(r"There are now (\d+) accounts", server.log.read_text())]
    assert max(counts) == rounds


def records(house: House) -> list[AcmeOrderRecord]:
    """Return every order at an ACME authority."""
    with house.services.work.read() as stores:
        return list(stores.acme.every_order())


def wait_for(truth: Callable[[], bool], house: House) -> None:
    """Wait; tell everything if it does not come true."""
    if not eventually(truth, WITHIN_SECONDS):
        raise AssertionError("\n".join([*problems(house), house.words()]))


def problems(house: House) -> list[str]:
    """Return where each order stands, for a person."""
    return [
        f"{one.order_id} url {one.url} lease {one.leased_until} failures {one.failures} next {one.next_try_at}: {one.problem}"
        for one in records(house)
    ]


def shown(house: House, name: str) -> x509.Certificate | None:
    """Return the certificate at the door for a host."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", house.port), 10) as raw,
        _context().wrap_socket(raw, server_hostname=name) as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    return None


def is_challenge_shown(house: House, name: str) -> bool:
    """Return whether the door shows a challenge of tls-alpn-01 for a host."""
    context = _context()
    context.set_alpn_protocols(["acme-tls/1"])
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", house.port), 10) as raw,
        context.wrap_socket(raw, server_hostname=name) as secure,
    ):
        return secure.selected_alpn_protocol() == "acme-tls/1"
    return False


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context

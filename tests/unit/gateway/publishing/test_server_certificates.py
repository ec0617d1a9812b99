"""The gateway's server certificates: ordered, collected, renewed, replaced; never half of a pair."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from doorward.access.policies import apply_document
from doorward.authority.orders import fill_order, open_orders, order_status, place_order
from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.ports import KeyKind
from doorward.enforcement.plan import ServerCertificate
from doorward.gateway.publishing import server_certificates as module
from doorward.gateway.publishing import server_pairs as pairs_module
from doorward.gateway.publishing.server_certificates import (
    RETRY_SECONDS,
    ServerCertificates,
    name_every_lacking,
)
from doorward.pki.lifecycle import renewal_time
from doorward.stores.records import GatewayRecord, OrderState
from doorward.stores.services import Services
from tests.support.certificates.issuing import key_pem_of
from tests.support.ports import PlainKeys
from tests.support.world import DOCUMENT, OPERATOR, World, found_world

PAYMENTS = ("payments.corp.example",)
SENSORS = ("telemetry.corp.example", "sensors.corp.example")


@dataclass
class Site:
    """The certificates of one gateway, and the issuing side in reach."""

    world: World
    gateway: GatewayRecord
    folder: Path
    certificates: ServerCertificates

    def ensure(self, *hosts: str, purpose: str = "payments") -> ServerCertificate | None:
        """The present certificate of one purpose."""
        return self.certificates.ensure({purpose: hosts or PAYMENTS}).get(purpose)

    def fill(self) -> int:
        """Let the issuing side answer every open order; return how many there were."""
        orders = open_orders(self.world.services)
        for order in orders:
            try:
                fill_order(self.world.services, order.id, actor=OPERATOR)
            except RequestRefused:
                continue
        return len(orders)

    def have(self, *hosts: str) -> ServerCertificate:
        """Order, fill and collect."""
        self.ensure(*hosts)
        self.fill()
        found = self.ensure(*hosts)
        assert found is not None
        return found

    def orders(self, purpose: str = "payments") -> list[Path]:
        """The folders of a purpose."""
        base = self.folder / purpose
        return sorted(base.iterdir()) if base.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A founded world and a registered gateway."""
    world = found_world()
    gateway = world.gateway()
    folder = tmp_path / "server"
    return Site(world, gateway, folder, ServerCertificates(world.services, gateway.id, folder))


def leaf_of(certificate: ServerCertificate) -> x509.Certificate:
    """The leaf of a certificate by reference."""
    return x509.load_pem_x509_certificate(Path(certificate.chain_path).read_bytes())


def test_a_certificate_is_ordered_and_collected(site: Site) -> None:
    """The first asking orders, and once the order is filled the pair is there, made for its hosts."""
    assert site.ensure(*SENSORS) is None
    assert site.fill() == 1
    found = site.ensure(*SENSORS)
    assert found is not None
    names = leaf_of(found).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(names.get_values_for_type(x509.DNSName)) == sorted(SENSORS)
    chain = x509.load_pem_x509_certificates(Path(found.chain_path).read_bytes())
    assert len(chain) == 2
    key = load_pem_private_key(Path(found.key_path).read_bytes(), password=None)
    assert key.public_key() == leaf_of(found).public_key()


def test_a_host_longer_than_a_common_name_gets_a_certificate(site: Site) -> None:
    """A host may have 253 characters and a common name 64: one long host must not stop a publication."""
    host = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.corp.example"
    document = DOCUMENT.replace("payments.corp.example", host)
    apply_document(site.world.services, document, file="test.yaml", actor=OPERATOR)
    names = leaf_of(site.have(host)).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [host]


def test_keys_are_closed_to_others(site: Site) -> None:
    """The key and its folder are for this user alone."""
    found = site.have()
    assert stat.S_IMODE(Path(found.key_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(found.key_path).parent.stat().st_mode) == 0o700


def test_only_one_order_is_open(site: Site) -> None:
    """Asking again while the order is open does not order again."""
    assert site.ensure() is None
    first = site.orders()
    for _ in range(3):
        assert site.ensure() is None
        assert site.orders() == first
    assert [one.id for one in open_orders(site.world.services)] == [first[0].name]


def test_a_certificate_in_hand_is_not_ordered_again(site: Site) -> None:
    """As long as it is good for long enough the same certificate serves, also after a restart."""
    first = site.have()
    again = ServerCertificates(site.world.services, site.gateway.id, site.folder)
    assert again.ensure({"payments": PAYMENTS}) == {"payments": first}
    assert open_orders(site.world.services) == []


def test_every_purpose_has_its_own(site: Site) -> None:
    """Purposes do not wait for each other: a filled one is returned, the other follows."""
    site.certificates.ensure({"payments": PAYMENTS})
    site.fill()
    wanted = {"payments": PAYMENTS, "sensors": SENSORS}
    assert set(site.certificates.ensure(wanted)) == {"payments"}
    site.fill()
    assert set(site.certificates.ensure(wanted)) == {"payments", "sensors"}


# many of them

MANY = {f"p{at}": PAYMENTS for at in range(120)}


def test_many_are_ordered_and_collected_together(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first start with many applications costs a few transactions."""
    writes, reads = [], []
    work = site.world.work
    change, read = work.change, work.read
    monkeypatch.setattr(work, "change", lambda: writes.append(1) or change())
    monkeypatch.setattr(work, "read", lambda: reads.append(1) or read())
    assert site.certificates.ensure(MANY) == {}
    assert len(writes) <= 3
    assert site.fill() == len(MANY)
    reads.clear()
    assert set(site.certificates.ensure(MANY)) == set(MANY)
    assert len(reads) == 1


def test_a_pair_is_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that did not change is not parsed again, however often all pairs are looked at."""
    first = site.have()
    parsed: list[int] = []
    load = pairs_module.load_pem_private_key

    def counted(data: bytes, password: None) -> object:
        parsed.append(len(data))
        return load(data, password)

    monkeypatch.setattr(pairs_module, "load_pem_private_key", counted)
    for _ in range(3):
        assert site.ensure() == first
    assert parsed == []
    Path(first.key_path).write_bytes(Path(first.key_path).read_bytes() + b"\n")
    assert site.ensure() == first
    assert len(parsed) == 1


def wait_in(site: Site, answers: list[int]) -> Callable[[float], None]:
    """A wait that takes its time on the clock, and lets so many orders be filled each time."""

    def wait(seconds: float) -> None:
        site.world.clock.turn(seconds=max(seconds, 0.001))
        for order in open_orders(site.world.services)[: answers.pop(0) if answers else 0]:
            fill_order(site.world.services, order.id, actor=OPERATOR)

    return wait


def test_it_waits_for_what_is_on_order(site: Site) -> None:
    """All certificates that come within the patience are returned; without an answer it goes on with those that are there."""
    wanted = {"payments": PAYMENTS, "sensors": SENSORS}
    found = site.certificates.ensure_soon(wanted, patience_seconds=1, wait=wait_in(site, [0, 1]))
    assert len(found) == 1
    assert (
        site.certificates.ensure_soon(wanted, patience_seconds=1, wait=wait_in(site, [0, 1])).keys()
        == wanted.keys()
    )
    began = site.world.clock.monotonic()
    site.certificates.ensure_soon(wanted, patience_seconds=1, wait=wait_in(site, []))
    assert site.world.clock.monotonic() == began


def test_it_does_not_wait_for_what_cannot_come(site: Site) -> None:
    """A purpose with a refused order delays nothing until it is ordered again."""
    site.ensure("evil.example", purpose="evil")
    site.fill()
    began = site.world.clock.monotonic()
    wanted = {"evil": ("evil.example",)}
    assert site.certificates.ensure_soon(wanted, patience_seconds=1, wait=wait_in(site, [])) == {}
    assert site.world.clock.monotonic() == began


def test_it_waits_longer_while_they_keep_coming(site: Site) -> None:
    """With a longest time it waits as long as certificates come, and no longer than that time."""
    slow = [*([0] * 15), 1] * 9

    def waited(most: float) -> int:
        return len(
            site.certificates.ensure_soon(
                MANY, patience_seconds=1, most_seconds=most, wait=wait_in(site, list(slow))
            )
        )

    assert waited(0) == 1
    assert waited(4) == 1 + 5
    assert waited(60) == 1 + 5 + 9


# renewal


def test_it_is_renewed_before_it_ends(site: Site) -> None:
    """After two thirds of its life a new one is ordered; the old one serves until that is there."""
    first = site.have()
    leaf = leaf_of(first)
    order_id = Path(first.key_path).parent.name
    due = renewal_time(leaf.not_valid_before_utc, leaf.not_valid_after_utc, order_id)
    site.world.clock.present = due - timedelta(seconds=1)
    assert site.ensure() == first
    assert site.fill() == 0
    site.world.clock.turn(seconds=1)
    assert site.ensure() == first
    assert site.ensure() == first  # also while the next one is on order
    assert site.fill() == 1
    second = site.ensure()
    assert second is not None
    assert second != first
    assert second.key_path != first.key_path
    assert leaf_of(second).not_valid_after_utc > leaf.not_valid_after_utc


def test_an_expired_one_is_deleted(site: Site) -> None:
    """An expired certificate is not used, and its key is deleted once nothing names it."""
    first = site.have()
    site.world.clock.present = leaf_of(first).not_valid_after_utc
    assert site.ensure() is None
    site.certificates.forget_others(["payments"], [])
    assert not Path(first.key_path).exists()
    assert len(open_orders(site.world.services)) == 1


def test_other_hosts_need_another_certificate(site: Site) -> None:
    """When the hosts change, the old certificate is not shown for the new ones."""
    site.have()
    assert site.ensure(*SENSORS) is None
    assert site.fill() == 1
    second = site.ensure(*SENSORS)
    assert second is not None
    assert second.hosts == tuple(sorted(SENSORS))
    site.certificates.forget_others(["payments"], [second])
    assert [one.name for one in site.orders()] == [Path(second.key_path).parent.name]


def test_the_old_certificate_serves_the_hosts_that_it_names(site: Site) -> None:
    """A host that is added, or removed, takes nothing from the others while the new certificate is on order."""
    first = site.have(SENSORS[0])
    for hosts in (SENSORS, (SENSORS[0], *PAYMENTS)):
        assert site.ensure(*hosts) == first
        assert site.ensure(*hosts) == first
        site.certificates.forget_others(["payments"], [first])
    both = site.have(*SENSORS)
    assert both.hosts == tuple(sorted(SENSORS))
    assert site.ensure(SENSORS[0]) == first  # not forgotten yet, and just what is wanted
    site.certificates.forget_others(["payments"], [both])
    assert site.ensure(SENSORS[0]) == both
    assert site.fill() == 1
    alone = site.ensure(SENSORS[0])
    assert alone is not None
    assert alone.hosts == (SENSORS[0],)


# what goes wrong


def test_a_refused_order_is_tried_again_later(site: Site) -> None:
    """After a refusal nothing is ordered for a while, then once more."""
    assert site.ensure("evil.example") is None
    assert site.fill() == 1
    assert site.ensure("evil.example") is None
    assert site.orders() == []
    site.world.clock.turn(seconds=RETRY_SECONDS - 1)
    assert site.ensure("evil.example") is None
    assert site.fill() == 0
    site.world.clock.turn(seconds=1)
    site.ensure("evil.example")
    assert site.fill() == 1


def test_hosts_that_come_back_are_ordered_at_once(site: Site) -> None:
    """A refusal was by the document of that moment: once the wanted hosts change, it holds back nothing."""
    site.ensure("evil.example")
    site.fill()
    assert site.ensure("evil.example") is None  # refused
    site.have()
    site.ensure("evil.example")
    assert site.fill() == 1


def test_hosts_that_no_order_can_name_are_borne(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that fails delays no other purpose, and is tried again only after a while."""
    placed: list[str] = []

    def place(services: Services, gateway_id: str, purpose: str, *more: object, **how: object) -> object:
        placed.append(purpose)
        return place_order(services, gateway_id, purpose, *more, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "place_order", place)
    wanted = {"bad": tuple(f"h{n}.corp.example" for n in range(101)), "payments": PAYMENTS}
    for _ in range(3):
        assert site.certificates.ensure(wanted) == {}
    assert placed == ["bad", "payments"]
    assert len(open_orders(site.world.services)) == 1
    site.world.clock.turn(seconds=RETRY_SECONDS)
    site.certificates.ensure(wanted)
    assert placed == ["bad", "payments", "bad"]


def test_hosts_that_no_request_can_name_are_borne(site: Site) -> None:
    """Otherwise one application would stop every publication of all others."""
    wanted = {"bad": ("a..b",), "payments": PAYMENTS}
    for _ in range(2):
        assert site.certificates.ensure(wanted) == {}
    assert [one.purpose for one in open_orders(site.world.services)] == ["payments"]
    assert site.certificates.ensure({"bad": ("a..b",)}) == {}


def test_a_host_may_be_longer_than_a_common_name(site: Site) -> None:
    """A common name has at most 64 characters, a host 253."""
    long = ".".join(["a" * 63, "b" * 63, "corp.example"])
    assert site.ensure(long) is None
    assert [tuple(one.hosts) for one in open_orders(site.world.services)] == [(long,)]


def test_a_store_that_is_away_takes_no_certificate(site: Site) -> None:
    """While the store cannot be written the certificate that is there serves, also when it should be renewed."""
    first = site.have()
    leaf = leaf_of(first)
    site.world.clock.present = leaf.not_valid_after_utc - timedelta(minutes=1)
    site.world.work.broken = Unavailable("database-unavailable", "the disk is full")
    assert site.ensure() == first
    site.world.work.broken = None
    site.world.clock.turn(seconds=RETRY_SECONDS)
    assert site.ensure() == first
    assert site.fill() == 1


def test_a_store_that_is_away_loses_no_key(site: Site) -> None:
    """An order that cannot be looked up keeps its key, so that its certificate is of use later."""
    site.ensure()
    (folder,) = site.orders()
    site.world.work.broken = Unavailable("database-unavailable", "locked")
    assert site.ensure() is None
    site.world.work.broken = None
    assert site.orders() == [folder]
    assert site.fill() == 1
    assert site.ensure() is not None


def test_an_order_that_lost_its_key_is_placed_again(site: Site) -> None:
    """A crash between order and key leaves a folder without a key: it goes, and a new order is placed at once."""
    site.ensure()
    (folder,) = site.orders()
    (folder / "key.pem").unlink()
    site.fill()
    assert site.ensure() is None
    assert not folder.exists()
    assert site.fill() == 1
    assert site.ensure() is not None


def test_an_unknown_order_is_dropped(site: Site) -> None:
    """After a restore of the database the folder of an unknown order goes."""
    (site.folder / "payments" / ("ord_" + "z" * 20)).mkdir(parents=True)
    assert site.ensure() is None
    assert len(site.orders()) == 1
    site.fill()
    assert site.ensure() is not None


@pytest.mark.parametrize("name", ["chain.pem", "key.pem"])
@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"\xff" * 50, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None],
)
def test_a_damaged_pair_is_ordered_again(site: Site, name: str, content: bytes | None) -> None:
    """Garbage in one of the files, or its absence, costs one order, and is never shown to Envoy."""
    first = site.have()
    path = Path(first.chain_path).with_name(name)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    if content is None and name == "chain.pem":
        assert site.ensure() == first  # it is collected again
        return
    assert site.ensure() is None
    assert not path.parent.exists()
    assert site.fill() == 1
    second = site.ensure()
    assert second is not None
    assert second != first


def test_a_key_of_another_pair_is_refused(site: Site) -> None:
    """A certificate beside a key that is not its own is never shown to Envoy."""
    first = site.have()
    Path(first.key_path).write_bytes(key_pem_of(PlainKeys().generate(KeyKind.P256)))
    assert site.ensure() is None
    assert site.fill() == 1


def test_half_a_chain_is_never_there(site: Site) -> None:
    """A chain that a crash left half written is not taken for one."""
    site.ensure()
    (folder,) = site.orders()
    (folder / ".chain.pem.new").write_text("-----BEGIN CERT")
    site.fill()
    found = site.ensure()
    assert found is not None
    assert leaf_of(found)
    assert not (folder / ".chain.pem.new").exists()
    assert order_status(site.world.services, folder.name).order.state is OrderState.FILLED


def test_what_is_no_longer_wanted_is_forgotten(site: Site) -> None:
    """Keys of applications that are gone are deleted, those of the others stay."""
    site.certificates.ensure({"payments": PAYMENTS, "sensors": SENSORS})
    site.fill()
    found = site.certificates.ensure({"payments": PAYMENTS, "sensors": SENSORS})
    (site.folder / "note").write_text("not a folder")
    site.certificates.forget_others(["payments"], [found["payments"]])
    assert site.ensure() == found["payments"]
    assert sorted(one.name for one in site.folder.iterdir()) == ["note", "payments"]


def test_a_sentence_names_only_some_of_many() -> None:
    """The status of a gateway with hundreds of new applications stays short, and says who issues their certificates."""
    missing = {f"a{n:02}": (f"a{n:02}.corp.example",) for n in range(12)}
    said = name_every_lacking(missing)
    assert said.startswith("a00 (a00.corp.example), a01 (")
    assert "a09 (a09.corp.example) and 2 more; `doorward serve` issues them" in said
    assert name_every_lacking({"pay": ("b.example", "a.example")}) == "pay (b.example, a.example)"

"""Processing the result of a fetch: it is stored, or the failure is recorded and the old evidence stays."""

from __future__ import annotations

import base64
from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography.x509 import ocsp

from doorward.audit.events import EventType
from doorward.core.errors import MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import FetchResponse
from doorward.partners.evidence import fetch_results, lease_due, process_fetch_result
from doorward.stores.crl_pieces import PIECE_BYTES, split_crl
from doorward.stores.partner_records import EvidenceKind
from doorward.stores.records import ChangeKind
from tests.support.certificates.issuing import certify, crl_at, responder_at
from tests.support.certificates.status import HOUR, answer_about, crl_of, scope
from tests.support.partner_world import ISSUING_CRL, RESPONDER, ROOT_CRL, partner_world
from tests.support.ports import NOON

STORED, REFUSED = EventType.EVIDENCE_STORED, EventType.EVIDENCE_REFUSED
UNAVAILABLE = EventType.EVIDENCE_UNAVAILABLE
DAY = timedelta(days=1)


def changes(west, since: int = 0) -> list[tuple[ChangeKind, str]]:
    """Return the changes after a number."""
    with west.work.read() as stores:
        return [(one.kind, one.subject) for one in stores.changes.since(since)]


def crl(west, *serials: int, **options) -> bytes:
    """Return a CRL of the root that is valid for a day."""
    return crl_of(west.root, *serials, **{"next_update": NOON + DAY, **options})


def test_a_good_crl_is_stored_and_recorded():
    """It is stored with its times, a change and an event; the next fetch is within `refresh`."""
    west = partner_world()
    west.pages[ROOT_CRL] = crl(west, 7, number=5)
    assert west.run() == 1
    row = west.row(ROOT_CRL)
    assert (row.der, row.this_update, row.next_update) == (west.pages[ROOT_CRL], NOON - HOUR, NOON + DAY)
    assert (row.fetched_at, row.failures, row.problem) == (NOON, 0, "")
    assert NOON + 0.9 * HOUR <= row.try_at <= NOON + HOUR
    assert changes(west) == [(ChangeKind.EVIDENCE, west.partner.id)]
    (event,) = west.events(STORED)
    assert event.data["url"] == ROOT_CRL
    assert (event.data["kind"], event.data["number"]) == ("crl", 5)
    assert (event.data["partner"], event.data["sha256"]) == (west.partner.id, row.sha256)


@pytest.mark.parametrize(
    ("number", "field", "value"),
    [
        (2**53 - 1, "number", 2**53 - 1),
        (2**53, "crl_number", f"0x{2**53:x}"),
        (2**64, "crl_number", f"0x{2**64:x}"),
        ((1 << 159) - 1, "crl_number", "0x7" + "f" * 39),
    ],
)
def test_the_number_of_a_list_does_not_decide_whether_it_is_kept(number, field, value):
    """RFC 5280 section 5.2.3: a number too large for a JSON number is recorded as text."""
    west = partner_world()
    west.pages[ROOT_CRL] = crl(west, 7, number=number)
    west.run()
    assert (west.row(ROOT_CRL).der, west.row(ROOT_CRL).problem) == (west.pages[ROOT_CRL], "")
    (event,) = west.events(STORED)
    assert event.data[field] == value
    assert len({"number", "crl_number"} & event.data.keys()) == 1


@pytest.mark.parametrize(
    ("fault", "unusable"),
    [
        (MalformedInput("fetch-answer-too-large", "too much", came=True), True),
        (MalformedInput("fetch-answer-malformed", "it broke off"), False),
        (Unavailable("fetch-answer-refused", "status 503"), False),
        (RequestRefused("fetch-address-refused", "no"), False),
    ],
)
def test_a_response_that_is_too_large_is_unusable(fault, unusable):
    """A response that is too large is unusable evidence; a missing response is not."""
    west = partner_world()

    def fail(request):
        raise fault

    west.pages[ROOT_CRL] = fail
    west.run()
    assert west.row(ROOT_CRL).unusable is unusable
    assert len(changes(west)) == unusable


def test_the_same_list_is_no_news():
    """An unchanged CRL and the status 304 only set the next fetch."""
    west = partner_world()
    der = crl(west)
    west.pages[ROOT_CRL] = lambda request: FetchResponse(body=None if request.etag else der, etag='"1"')
    west.run()
    first = west.row(ROOT_CRL)
    for _ in range(2):
        west.clock.turn(hours=1)
        assert west.run() == 1
        west.pages[ROOT_CRL] = der
    row = west.row(ROOT_CRL)
    assert (row.der, row.sha256) == (der, first.sha256)
    assert row.fetched_at == NOON + 2 * HOUR
    assert row.try_at > NOON + 2 * HOUR
    assert len(changes(west)) == len(west.events(STORED)) == 1


def test_a_revocation_at_the_partner_is_known_within_refresh():
    """A CRL published just after a fetch is fetched within `refresh`."""
    west = partner_world(refresh=timedelta(minutes=5))
    west.pages[ROOT_CRL] = crl(west, number=1)
    west.run()
    west.pages[ROOT_CRL] = crl(west, 7, number=2)
    west.clock.turn(minutes=5)
    assert west.run() == 1
    assert west.row(ROOT_CRL).der == west.pages[ROOT_CRL]
    assert len(changes(west)) == 2


def test_evidence_is_renewed_before_it_ends():
    """With a long `refresh` the next fetch is after half of the lifetime."""
    west = partner_world(refresh=30 * DAY)
    west.pages[ROOT_CRL] = crl(west)
    west.run()
    assert NOON + 0.9 * DAY / 2 <= west.row(ROOT_CRL).try_at <= NOON + DAY / 2


def test_all_lists_of_a_partner_have_a_limit(monkeypatch):
    """A partner with many CRLs fills neither the database nor the gateways' memory."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.pages.update({ROOT_CRL: crl(west), ISSUING_CRL: crl_of(west.issuing)})
    monkeypatch.setattr(fetch_results, "LISTS_BYTES", len(west.pages[ROOT_CRL]) + 100)
    west.run()
    assert sorted(bool(row.sha256) for row in west.rows()) == [False, True]
    (event,) = west.events(REFUSED)
    assert event.data["reason"] == "evidence-too-much"


def test_a_list_that_does_not_grow_is_renewed_within_a_full_limit(monkeypatch):
    """At the limit a CRL is replaced by one that is not larger."""
    west = partner_world()
    west.pages[ROOT_CRL] = crl(west, 7, number=1)
    west.run()
    monkeypatch.setattr(fetch_results, "LISTS_BYTES", 0)
    west.pages[ROOT_CRL] = renewed = crl(west, 8, number=2)
    while len(renewed) > len(west.row(ROOT_CRL).der):  # an ECDSA signature has 70 to 72 bytes
        west.pages[ROOT_CRL] = renewed = crl(west, 8, number=2)
    west.clock.turn(hours=1)
    west.run()
    assert west.row(ROOT_CRL).der == renewed
    west.pages[ROOT_CRL] = crl(west, *range(1000, 1100), number=3)
    west.clock.turn(hours=1)
    west.run()
    assert west.row(ROOT_CRL).der == renewed
    assert [one.data["reason"] for one in west.events(REFUSED)] == ["evidence-too-much"]


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda west: b"<html>maintenance</html>", "crl-malformed"),
        (lambda west: b"x" * 10_000_000, "crl-malformed"),
        (lambda west: crl_of(certify("West Root")), "evidence-not-signed"),
        (lambda west: crl(west, number=4), "evidence-replayed"),
        (lambda west: crl(west, number=9, next_update=NOON - timedelta(minutes=1)), "evidence-not-in-time"),
        (lambda west: crl(west, number=9, this_update=NOON + HOUR), "evidence-not-in-time"),
        (lambda west: crl_of(west.issuing, number=9), "evidence-of-another"),
        (lambda west: crl(west, number=9, scope=scope(only_contains_ca_certs=True)), "evidence-replaced"),
    ],
    ids=["html", "10 MB", "wrong signer", "replayed", "stale", "future", "another's", "for others"],
)
def test_false_evidence_is_not_stored(lie, code):
    """Evidence that is not genuine, not valid or not newer keeps the old evidence, with one event."""
    west = partner_world()
    west.pages[ROOT_CRL] = good = crl(west, 7, number=5)
    west.run()
    for _ in range(3):
        west.pages[ROOT_CRL] = lie(west)
        with west.work.change() as stores:
            (row,) = stores.evidence.list(west.partner.id)
            stores.evidence.lease(row, NOON)
        west.run()
    row = west.row(ROOT_CRL)
    assert (row.der, row.failures, row.unusable) == (
        good,
        3,
        code != "evidence-not-in-time" or "future" in row.problem,
    )
    assert row.problem
    (event,) = west.events(REFUSED)
    assert event.data["reason"] == code
    assert len(west.events(STORED)) == 1
    assert len(changes(west)) == 1 + row.unusable  # gateways are told once that it cannot be used


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Unavailable("fetch-too-slow", "pki.partner.example did not answer in time"), UNAVAILABLE),
        (Unavailable("fetch-unreachable", "nobody"), UNAVAILABLE),
        (RequestRefused("fetch-address-refused", "no"), REFUSED),
        (MalformedInput("fetch-answer-too-large", "more than was asked for"), REFUSED),
    ],
)
def test_a_new_failure_is_an_event(fault, kind):
    """The first failure and a different one are events; a repeated one is not."""
    west = partner_world()

    def fail(request):
        raise fault

    west.pages[ROOT_CRL] = fail
    moments = []
    for _ in range(4):
        west.run()
        moments.append(west.row(ROOT_CRL).try_at)
        west.clock.turn(seconds=(moments[-1] - west.clock.now()).total_seconds())
    assert [one.data["reason"] for one in west.events(kind)] == [fault.code]
    assert [one.data["detail"] for one in west.events(kind)] == [fault.detail]
    assert west.row(ROOT_CRL).failures == 4
    assert west.row(ROOT_CRL).problem == f"{fault.detail} ({fault.code})"
    pauses = [after - before for before, after in zip([NOON, *moments], moments, strict=False)]
    assert pauses[0] < timedelta(seconds=16)
    assert pauses[3] >= timedelta(seconds=60)
    west.pages[ROOT_CRL] = b"other"
    west.run()
    assert [one.data["reason"] for one in west.events(REFUSED)][-1] == "crl-malformed"
    west.pages[ROOT_CRL] = crl(west)
    west.clock.turn(hours=1)
    west.run()
    assert (west.row(ROOT_CRL).failures, west.row(ROOT_CRL).problem) == (0, "")


def test_a_restart_fetches_nothing_early():
    """After a restart every row keeps its time, also those that fail."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.pages[ROOT_CRL] = crl(west)
    assert west.run() == 2
    west.scan = type(west.scan)(west.services)
    west.slots = type(west.slots)()
    assert west.run() == 0


def test_fetches_spread_out():
    """Rows fetched at the same time are due at different times."""
    west = partner_world()
    for number in range(4):
        url = f"http://{number}.example/crl"
        west.let_in(f"user{number}", crl_at(url))
        west.pages[url] = crl_of(west.issuing, next_update=NOON + DAY)
    for _ in range(3):
        west.run()
    assert len({row.try_at for row in west.rows() if row.sha256}) == 4


class TestOcsp:
    """Answers about one leaf."""

    def west(self, **terms):
        west = partner_world(**terms)
        west.alice = west.let_in("alice", responder_at(RESPONDER))
        return west

    def answer(self, west, status=ocsp.OCSPCertStatus.GOOD, **options) -> bytes:
        words = {"next_update": NOON + DAY, **options}
        return answer_about(west.alice, west.issuing, status=status, **words)

    def again(self, west, der: bytes) -> None:
        west.pages[RESPONDER] = der
        with west.work.change() as stores:
            row = next(one for one in stores.evidence.list(west.partner.id) if one.kind is EvidenceKind.OCSP)
            stores.evidence.lease(row, NOON)
        west.run()

    def test_an_answer_is_stored_and_its_status_recorded(self):
        """Each new answer is stored with a change; an event is recorded if the status differs."""
        west = self.west()
        west.pages[RESPONDER] = self.answer(west)
        west.run()
        for minutes in (50, 40):
            self.again(west, self.answer(west, this_update=NOON - timedelta(minutes=minutes)))
        self.again(west, revoked := self.answer(west, ocsp.OCSPCertStatus.REVOKED, this_update=NOON))
        assert [one.data["said"] for one in west.events(STORED)] == ["good", "revoked"]
        assert {one.data["about"] for one in west.events(STORED)} == {west.alice.parsed.sha256}
        assert west.row(RESPONDER, west.alice).der == revoked
        assert len(changes(west)) == 4

    def test_an_answer_after_one_that_cannot_be_judged_is_an_event(self):
        """If the last answer cannot be judged at its own time, the next one is an event."""
        west = self.west()
        delegate = certify(
            "Responder",
            west.issuing,
            ca=False,
            purposes=[ocsp_signing()],
            not_before=NOON - timedelta(minutes=30),
        )
        west.pages[RESPONDER] = self.answer(west, responder=delegate)
        west.run()
        self.again(west, self.answer(west, this_update=NOON - timedelta(minutes=10)))
        assert [one.data["said"] for one in west.events(STORED)] == ["good", "good"]

    @pytest.mark.parametrize(
        "lie",
        [
            lambda self, west: b"<html>",
            lambda self, west: answer_about(certify("bob", west.root, ca=False), west.root),
            lambda self, west: self.answer(west, responder=certify("West Issuing")),
            lambda self, west: self.answer(west, next_update=NOON - timedelta(minutes=1)),
            lambda self, west: self.answer(west, this_update=NOON - 2 * HOUR),
        ],
        ids=["html", "wrong certificate", "wrong signer", "stale", "replayed"],
    )
    def test_false_evidence_is_not_stored(self, lie):
        """The stored answer stays, and the failure is recorded."""
        west = self.west()
        west.pages[RESPONDER] = revoked = self.answer(west, ocsp.OCSPCertStatus.REVOKED)
        west.run()
        self.again(west, lie(self, west))
        assert west.row(RESPONDER, west.alice).der == revoked
        assert len([one for one in west.events(REFUSED) if one.data["url"] == RESPONDER]) == 1

    def test_a_certificate_that_lost_its_path_gets_no_answer(self):
        """If the issuer was removed during the fetch, the answer is refused."""
        west = self.west()
        west.look()
        task = next(one for one in lease_due(west.services, west.slots) if one.evidence.about)
        west.trust([west.root])
        process_fetch_result(west.services, task, FetchResponse(body=self.answer(west)))
        row = west.row(RESPONDER, west.alice)
        assert (row.der, row.failures) == (b"", 1)


def ocsp_signing():
    """The extended key usage of responders."""
    from cryptography.x509.oid import ExtendedKeyUsageOID

    return ExtendedKeyUsageOID.OCSP_SIGNING


def test_a_removed_row_is_not_stored_again():
    """Nothing is stored if the partner or the row was removed, or another process was first."""
    for kind in ("removed", "forgotten", "overtaken"):
        west = partner_world()
        west.look()
        (task,) = lease_due(west.services, west.slots)
        row = task.evidence
        with west.work.change() as stores:
            if kind == "removed":
                stores.partners.remove(west.partner.id, NOON)
            elif kind == "forgotten":
                stores.evidence.forget(row.partner_id, row.kind, row.source, row.about)
            else:
                other = crl(west, number=9)
                stores.evidence.store(type(row)(**{**fields_of(row), "der": other, "sha256": "9" * 64}))
        before = west.rows()
        process_fetch_result(west.services, task, FetchResponse(body=crl(west)))
        assert west.rows() == before
        assert changes(west) == []


def test_of_two_finds_the_first_is_kept(monkeypatch):
    """If another process stores evidence after the check, its evidence stays."""
    west = partner_world()
    west.look()
    (task,) = lease_due(west.services, west.slots)
    change, real = west.work.change, west.row(ROOT_CRL)

    def overtaken(**_how):
        with change() as stores:
            stores.evidence.store(type(real)(**{**fields_of(real), "sha256": "9" * 64, "der": b"other"}))
        return change()

    monkeypatch.setattr(west.work, "change", overtaken)
    process_fetch_result(west.services, task, FetchResponse(body=crl(west)))
    assert west.row(ROOT_CRL).der == b"other"
    assert changes(west) == []


def fields_of(row) -> dict[str, object]:
    """Return the fields of a record."""
    return {name: getattr(row, name) for name in type(row).__slots__}


def test_a_list_in_pem_is_taken():
    """RFC 5280 section 4.2.1.13 requires DER; PEM as written by `openssl ca -gencrl` is accepted too."""
    west = partner_world()
    der = crl_of(west.root)
    text = b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(der) + b"-----END X509 CRL-----\n"
    west.pages[ROOT_CRL] = text
    west.run()
    assert west.row(ROOT_CRL).der == der


def long_crl(west, number: int) -> bytes:
    """Return a CRL of several pieces."""
    made = crl(west, *range(number, number + 15_000), number=number)
    assert len(made) > PIECE_BYTES
    return made


def test_a_long_crl_is_stored_in_short_transactions(monkeypatch: pytest.MonkeyPatch):
    """Each adds one piece at most, and the former CRL is the stored one until the whole new one is; then its pieces go."""
    west = partner_world()
    former = west.pages[ROOT_CRL] = long_crl(west, 5)
    west.run()
    newer = west.pages[ROOT_CRL] = long_crl(west, 6)
    west.clock.turn(hours=1)
    change, seen = west.work.change, []

    def watched(**options: bool) -> object:
        with west.work.read() as stores:
            seen.append((west.row(ROOT_CRL).der, len(stores.evidence.state.evidence_pieces)))
        return change(**options)

    monkeypatch.setattr(west.work, "change", watched)
    assert west.run() == 1
    assert west.row(ROOT_CRL).der == newer
    assert [der for der, _ in seen] == sorted((der for der, _ in seen), key=lambda der: der == newer)
    numbers = [number for der, number in seen if der == former]
    steps = {after - before for before, after in pairwise(numbers)}
    assert steps <= {0, 1}
    assert max(numbers) == len(split_crl(former)) + len(split_crl(newer))
    with west.work.read() as stores:
        assert stores.evidence.unused_pieces() == []


def test_a_long_crl_that_was_never_stored_is_forgotten():
    """A killed process leaves pieces: the second scan after it removes them, because the first may see one that is being stored."""
    west = partner_world()
    west.run()
    with west.work.change() as stores:
        stores.evidence.add_pieces(split_crl(long_crl(west, 5)))
    for left in (1, 0):
        west.clock.turn(minutes=11)
        west.run()
        with west.work.read() as stores:
            assert len(stores.evidence.unused_pieces()) == left

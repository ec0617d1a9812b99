"""The authorizer and partners' people: what the application is told of them, and evidence that moves meanwhile."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from cryptography import x509

from doorward.enforcement.envoy.names import NOBODY, ConnectionFact
from doorward.gateway.authorizer.calls import CheckResult
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.judging import ATTEMPTS
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.connections.sockdiag import SocketFacts, TcpState
from doorward.verification.identity import SanSource
from doorward.wire.header_text import decode_header_text
from doorward.wire.jose import parse_jwks, render_jwks, verify_assertion
from tests.support.certificates.issuing import CertifiedKey
from tests.support.partner_site import PartnerSite
from tests.support.ports import NOON
from tests.unit.gateway.authorizer.conftest import (
    COOKIE,
    KEY,
    REMOTE,
    Interrupted,
    Place,
    url_pem,
)
from tests.unit.gateway.live import LOCAL


@pytest.fixture
def place(site: PartnerSite) -> Place:
    """One open socket at that site, its policy in force."""
    facts = SocketFacts(COOKIE, 9, TcpState.ESTABLISHED, LOCAL, REMOTE)
    made = Place(
        world=site,
        connections=ConnectionRegistry(sequence=site.head()),
        gate=PolicyGate(),
        decider=Interrupted(site.judge),
        sockets={(LOCAL, REMOTE): facts},
    )
    made.in_force()
    return made


def check(place: Place, leaf: CertifiedKey) -> CheckResult:
    """Ask about a connection with that certificate."""
    return place.authorizer().check(url_pem(leaf.der), place.metadata())


def claims_of(answer: CheckResult) -> dict[str, object]:
    """The claims of the assertion."""
    assert answer.facts is not None
    keys = parse_jwks(json.dumps(render_jwks([KEY.public_key()])))
    return dict(verify_assertion(answer.facts[ConnectionFact.ASSERTION.value], keys, "payments", NOON))


def test_the_application_is_told_the_partners_name(site: PartnerSite, place: Place) -> None:
    """Header and assertion have `<partner>/<identity>`, and the registry has the partner of the certificate."""
    answer = check(place, site.leaf("bob@clinic.example"))
    assert answer.facts is not None
    assert answer.facts[ConnectionFact.PRINCIPAL.value] == "person/clinic/bob@clinic.example"
    assert answer.facts[ConnectionFact.OWNER.value] == NOBODY
    assert claims_of(answer)["sub"] == "clinic/bob@clinic.example"
    connection = place.connections.get(COOKIE)
    assert connection is not None
    assert connection.partner_id == site.partner.id


@pytest.mark.parametrize(
    "uri",
    [
        "https://clinic.example/a%2Fb?x=1&y=2#f",
        "urn:x:%0d%0aSet-Cookie:a=b",
        "spiffe://clinic.example/../own/alice",
    ],
)
def test_an_odd_identity_is_one_text_and_unique(site: PartnerSite, place: Place, uri: str) -> None:
    """However a partner writes a name: header and assertion hold it as it is, on one line, below the partner's."""
    site.bring_in(replacing=True, source=SanSource.URI)
    site.publish()
    place.in_force()
    answer = check(place, site.leaf("x@y.example", names=[x509.UniformResourceIdentifier(uri)]))
    assert answer.facts is not None
    header = answer.facts[ConnectionFact.PRINCIPAL.value]
    assert decode_header_text(header) == f"person/clinic/{uri}"
    assert header.isascii()
    assert header.isprintable()
    assert " " not in header
    assert urllib.parse.unquote(header).startswith("person/clinic/")
    assert claims_of(answer)["sub"] == f"clinic/{uri}"


def test_evidence_that_comes_meanwhile_is_asked(site: PartnerSite, place: Place) -> None:
    """If newer evidence is loaded before the answer, the connection is judged again: a revoked one is refused."""
    bob = site.leaf("bob@clinic.example")
    assert check(place, bob).facts is not None  # is in the inventory from now on
    place.connections.forget(COOKIE)
    place.decider.judgements.clear()
    place.recorded.clear()
    place.decider.afterwards = iter([lambda: site.publish(bob)])
    answer = check(place, bob)
    assert answer.facts is None
    assert "certificate-revoked" in answer.reasons
    assert len(place.decider.judgements) == 2
    assert [event.type.value for event in place.recorded] == ["connection:refused"]
    assert len(place.connections) == 0


def test_newer_evidence_that_is_good_lets_in(site: PartnerSite, place: Place) -> None:
    """The connection is admitted once, by the newer evidence."""
    bob = site.leaf("bob@clinic.example")
    place.decider.afterwards = iter([site.publish])
    assert check(place, bob).facts is not None
    assert len(place.decider.judgements) == 2
    assert [event.type.value for event in place.recorded] == ["connection:admitted"]
    assert len(place.connections) == 1


def test_evidence_that_never_rests_ends_in_a_refusal(site: PartnerSite, place: Place) -> None:
    """After the highest number of judgements the connection is refused: fail closed, and nothing is left behind."""
    bob = site.leaf("bob@clinic.example")
    place.decider.afterwards = iter([site.publish] * (ATTEMPTS + 1))
    answer = check(place, bob)
    assert answer.facts is None
    assert len(place.decider.judgements) == ATTEMPTS
    assert len(place.connections) == 0

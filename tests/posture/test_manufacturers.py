"""A manufacturer's authority is trusted at no application's door: a factory certificate is no identity there.

The twin imports the same authority as a partner too, with the refusal of such an import taken out: then every device from the
factory is a principal, without any approval.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.core.ports import KeyKind
from doorward.directory.fleets import admission, approving, manufacturers
from doorward.partners import importing
from doorward.partners.importing import import_partner, remove_partner
from doorward.partners.terms import Terms
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import CLIENT, CertifiedKey, pem_of
from tests.support.doorway import ACTOR, Doorway, Identity, open_doorway, render_document
from tests.support.factory import Factory, new_factory, request_for
from tests.support.ports import PlainKeys
from tests.support.refusals import refused

pytestmark = pytest.mark.xdist_group("posture-manufacturers")

APPS = ("plain", "paged", "trusting", "raw")
RULES = "- {allow: {kind: device}}\n- {allow: {kind: person}}"


@pytest.fixture(scope="module")
def factory() -> Factory:
    """A factory."""
    return new_factory("Acme")


@pytest.fixture(scope="module")
def door(factory: Factory) -> Iterator[Doorway]:
    """A door at which the manufacturer is imported; every device may enter each application."""
    with open_doorway() as opened:
        anchors = [factory.root.der]
        manufacturers.import_manufacturer(opened.services, "acme", anchors=anchors, actor=ACTOR)
        opened.apply_document(document(opened))
        yield opened


def document(door: Doorway, *, trust: str = "") -> str:
    """Four applications: one that ends the handshake, one that answers by a page, one that may trust more, one of TCP."""
    return render_document(
        door.app("plain", RULES),
        door.app("paged", RULES, on_refusal="page"),
        door.app("trusting", RULES, trust=trust),
        door.app("raw", RULES, upstream=f"tcp://127.0.0.1:{door.upstream.port}"),
    )


def written(folder: Path, factory: Factory, device: CertifiedKey) -> Identity:
    """The files of a device that shows its factory certificate."""
    chain, key = device.write(folder, "factory", factory.issuing)
    return Identity(chain=chain, key=key)


def a_device(factory: Factory) -> CertifiedKey:
    """A device with a factory certificate that also a partner's certificate could be: clientAuth, and a mail address."""
    mail = [x509.RFC822Name("sn-1@acme.example")]
    return factory.device("SN-1", purposes=(CLIENT,), names=mail)


@pytest.mark.parametrize("app", APPS)
def test_a_factory_certificate_opens_no_application(
    door: Doorway, factory: Factory, tmp_path: Path, app: str
) -> None:
    """Not before the approval, not after it; what opens the door then is the certificate of ours."""
    device = a_device(factory)
    shown = written(tmp_path, factory, device)
    assert not door.lets_in(shown, app=app)
    key = PlainKeys().generate(KeyKind.P256)
    mine = enrolled(door, factory, device, key, tmp_path, name=f"gauge-{app}")
    assert door.lets_in(mine, app=app)
    assert not door.lets_in(shown, app=app)


def test_a_page_is_all_that_a_factory_certificate_gets(
    door: Doorway, factory: Factory, tmp_path: Path
) -> None:
    """At an application that explains refusals, the answer is the door's own and names no principal."""
    reply = door.get(written(tmp_path, factory, a_device(factory)), "/x", app="paged")
    assert reply.status == 403


def test_an_authority_is_not_imported_twice(door: Doorway, factory: Factory) -> None:
    """The manufacturer's authority is refused as a partner's."""
    with refused(RequestRefused, "authority-in-use"):
        as_partner(door, factory)


def test_without_the_refusal_every_device_is_a_principal(
    door: Doorway, factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: the same authority as a partner's, and an application that trusts the partner lets any device in."""
    monkeypatch.setattr(importing, "refuse_manufacturers", lambda *_: None)
    shown = written(tmp_path, factory, a_device(factory))
    as_partner(door, factory)
    door.apply_document(document(door, trust="[own, twin]"))
    try:
        assert door.lets_in(shown, app="trusting")
        assert not door.lets_in(shown, app="plain")
    finally:
        door.apply_document(document(door))
        door.settle(remove_partner(door.services, "twin", actor=ACTOR).seq)


def as_partner(door: Doorway, factory: Factory) -> None:
    """Import the factory's authorities as a partner that certifies everyone."""
    terms = Terms(
        revocation=RevocationMode.OFF, kind=PrincipalKind.DEVICE, everyone=True, domain="acme.example"
    )
    below = [factory.issuing.der]
    import_partner(door.services, "twin", terms, anchors=[factory.root.der], intermediates=below, actor=ACTOR)


def enrolled(
    door: Doorway, factory: Factory, device: CertifiedKey, key: object, folder: Path, *, name: str
) -> Identity:
    """Approve a device, and return the files of its certificate of ours."""
    request = request_for(key)
    chain = factory.chain(device)
    with pytest.raises(admission.EnrolmentPending) as waits:
        admission.enrol(door.services, chain, request, source="192.0.2.7")
    done = approving.approve(door.services, waits.value.enrolment_id, name=name, actor=ACTOR)
    door.settle(done.seq)
    issued = admission.enrol(door.services, chain, request, source="192.0.2.7")
    door.settle(issued.seq)
    certificates = [x509.load_der_x509_certificate(one) for one in issued.chain_der]
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(pem_of(*certificates))
    files[1].write_bytes(CertifiedKey(certificates[0], key).key_pem)
    return Identity(chain=files[0], key=files[1])

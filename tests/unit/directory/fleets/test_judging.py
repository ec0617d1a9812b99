"""Which factory certificates are good: one case for each rule."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from doorward.core.errors import RequestRefused
from doorward.core.ports import KeyKind
from doorward.directory.fleets import judging
from doorward.directory.fleets.judging import CHAIN_LIMIT, is_of_manufacturer, judge_factory_certificate
from doorward.stores.records import AuthorityKind
from doorward.verification.path.signatures import is_signature_valid
from tests.support.certificates.issuing import ANY_USE, CLIENT, SERVER, certify
from tests.support.factory import NEVER, import_factory, new_factory
from tests.support.ports import NOON
from tests.support.refusals import refused


def judge(world, chain):
    """Judge a chain."""
    with world.work.read() as stores:
        return judge_factory_certificate(stores, chain, world.clock.now())


def refuses(world, chain, words):
    """The chain is refused, and the reason contains these words."""
    with refused(RequestRefused, "factory-certificate-refused") as caught:
        judge(world, chain)
    assert words in caught.value.detail


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"purposes": (CLIENT,)},
        {"purposes": (SERVER, CLIENT)},
        {"purposes": (ANY_USE,)},
        {"drop": (x509.KeyUsage,)},
        {"not_after": NOON + timedelta(days=1)},
        {"key_kind": KeyKind.RSA2048},
        {"key_kind": KeyKind.ED25519},
    ],
)
def test_good_ones(world, factory, options):
    """No end, no purpose or the purpose of clients, any accepted key."""
    device = factory.device("SN-1", **options)
    found = judge(world, factory.chain(device))
    assert (found.manufacturer.name, found.serial) == ("acme", "SN-1")
    assert "Acme" in found.subject


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"not_after": NOON - timedelta(seconds=1)}, "expired"),
        ({"not_before": NOON + timedelta(days=1)}, "not-yet-valid"),
        ({"purposes": (SERVER,)}, "clientAuth"),
        ({"usage": ("key_encipherment",)}, "digital signatures"),
        ({"extra": [(x509.BasicConstraints(ca=True, path_length=None), True)]}, "authority"),
    ],
)
def test_bad_ones(world, factory, options, words):
    """Dates, purpose, usage, and an authority instead of a device."""
    refuses(world, factory.chain(factory.device(**options)), words)


def test_a_stranger(world, factory):
    """A certificate of a factory that was not imported, also if it has the same names."""
    stranger = new_factory("acme")
    refuses(world, stranger.chain(stranger.device()), "")
    refuses(world, [factory.device().der.replace(b"Acme", b"Evil"), factory.issuing.der], "")


def test_a_strangers_key_verifies_nothing(world, factory, monkeypatch):
    """Signatures are verified downwards from what was imported: with keys of the factory only, and each pair once."""
    keys = []

    def counted(key, signed, strength):
        keys.append(key)
        return is_signature_valid(key, signed, strength)

    monkeypatch.setattr(judging, "is_signature_valid", counted)
    monkeypatch.setattr(judging, "judge_path", lambda *_: pytest.fail("no path is built"))
    stranger = new_factory("Acme")  # the same names, other keys
    refuses(world, [*stranger.chain(stranger.device()), stranger.root.der], "no manufacturer certified it")
    assert keys == [factory.root.key.public_key()] * 2  # for its issuing authority, and its root
    refuses(world, [stranger.device().der, factory.issuing.der], "no manufacturer certified it")
    genuine = factory.root.key.public_key(), factory.issuing.key.public_key()
    assert keys[2:] == [*genuine]


def test_recognising_a_device_has_a_limit(world, factory, monkeypatch):
    """A stranger with certificates that name an authority of many imported ones costs no more than the budget."""
    monkeypatch.setattr(judging, "_RECOGNITION", 1)
    refuses(world, factory.chain(factory.device()), "no manufacturer certified it")


def test_a_device_is_recognised_before_it_is_judged(world, factory):
    """Also one that will be refused; a stranger, and what cannot be read, is not."""
    ended = factory.device(not_after=NOON - timedelta(seconds=1))
    stranger = new_factory("acme")
    chains = [factory.chain(ended), stranger.chain(stranger.device()), [b"0"], []]
    with world.work.read() as stores:
        assert [is_of_manufacturer(stores, chain) for chain in chains] == [True, False, False, False]


def test_what_is_shown_is_not_trusted(world):
    """A device that shows its own root with its chain is no device of an imported manufacturer."""
    import_factory(world)
    stranger = new_factory("evil")
    refuses(world, [*stranger.chain(stranger.device()), stranger.root.der], "")


def test_without_the_authority_between(world, factory):
    """A device that shows only its own certificate has no path, unless the authority above it was imported."""
    refuses(world, [factory.device().der], "")


def test_our_own_certificates_are_no_factorys(world, factory):
    """A valid certificate of ours gives no right to ask as a device."""
    held = world.issue("sensor-1")
    refuses(world, list(held.chain_der), "")


def test_an_authority_of_ours_that_a_factory_certified(world, factory):
    """A cross-certificate that was made after the import: what is below our authority is no device of the factory."""
    held = world.issue("sensor-1")
    with world.work.read() as stores:
        own = stores.authorities.current(AuthorityKind.ISSUING)
    name = x509.load_der_x509_certificate(own.der).subject
    crossed = certify(name, factory.root, key=world.services.keys.load(own.key_name), not_after=NEVER)
    refuses(world, [held.der, crossed.der], "is one of ours")


def test_an_authority_for_servers_only(world, factory):
    """An authority above the device that may certify servers only does not certify devices."""
    servers = certify("Servers", factory.root, purposes=(SERVER,), not_after=NEVER, path_length=0)
    device = certify("device", servers, ca=False, purposes=(), not_after=NEVER)
    refuses(world, [device.der, servers.der], "TLS clients")


@pytest.mark.parametrize("chain", [[], [b""], [b"not a certificate"], [b"0"] * (CHAIN_LIMIT + 1)])
def test_what_cannot_be_read(world, factory, chain):
    """No certificate, too many, or other bytes."""
    refuses(world, chain, "factory certificate")


def test_a_chain_has_a_limit(world, factory):
    """More certificates than a chain can have are not even parsed, also if each is good."""
    refuses(world, [factory.device().der, *[factory.issuing.der] * CHAIN_LIMIT], "came with 7 certificates")


@pytest.mark.parametrize("serial", [None, " SN", "SN\n1", "SÑ", "S" * 65])
def test_serial_numbers_that_are_not_plain(world, factory, serial):
    """A serial number that is missing or could be misread counts as none; the certificate is good."""
    oid, text = NameOID.SERIAL_NUMBER, serial
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, "device")]
    if text is not None:
        parts.append(x509.NameAttribute(oid, text, _ASN1Type.UTF8String, _validate=False))
    device = certify(x509.Name(parts), factory.issuing, ca=False, not_after=NEVER)
    assert judge(world, factory.chain(device)).serial == ""


def test_two_serial_numbers_are_none(world, factory):
    """A subject with two serial numbers states none."""
    parts = [x509.NameAttribute(NameOID.SERIAL_NUMBER, one) for one in ("SN-1", "SN-2")]
    device = certify(x509.Name(parts), factory.issuing, ca=False, not_after=NEVER)
    assert judge(world, factory.chain(device)).serial == ""


def test_one_device_has_one_fingerprint(world, factory):
    """The fingerprint is over issuer, serial number and key: another signature of the same certificate changes nothing."""
    key = factory.device().key
    once, again = (factory.device("SN-1", key=key, serial=77) for _ in range(2))
    assert once.der != again.der
    prints = {judge(world, factory.chain(one)).fingerprint for one in (once, again)}
    assert len(prints) == 1
    assert judge(world, factory.chain(factory.device("SN-1", serial=77))).fingerprint not in prints

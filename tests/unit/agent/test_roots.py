"""How an identity learns a new root, and when it drops an old one."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from doorward.agent.credential import read_roots
from doorward.agent.keeper import Keeper
from doorward.agent.options import IdentityOptions
from doorward.agent.root_list import ROOT_LISTS_PATH, ROOT_LISTS_TYPE, load_root_list, parse_root_list
from doorward.agent.roots import ROOTS_TYPE, Roots, accept_roots, learn_roots
from doorward.agent.transport import Response
from doorward.core.errors import MalformedInput, RequestRefused
from tests.support.certificates.issuing import CertifiedKey, certify, toy_ca
from tests.support.certificates.status import crl_of
from tests.support.ports import NOON, FakeClock
from tests.support.refusals import code_of, refused
from tests.support.renewal_server import RenewalServer, pem_of_lists

OLD, NEW, STRANGER = toy_ca("Old"), toy_ca("New"), toy_ca("Stranger")
NEW_WITH_OLD = certify("New", OLD, key=NEW.key)
OLD_WITH_NEW = certify("Old", NEW, key=OLD.key)
KNOWN = (OLD.certificate,)


def pem(*every: CertifiedKey) -> bytes:
    """Return certificates in PEM."""
    return b"".join(one.pem for one in every)


def test_a_new_root_needs_the_signature_of_an_old_one() -> None:
    """With NewWithOld it is accepted beside the old root; without it, the answer changes nothing."""
    both = (OLD.certificate, NEW.certificate)
    assert accept_roots(KNOWN, pem(OLD, NEW, NEW_WITH_OLD, OLD_WITH_NEW), NOON) == both
    assert accept_roots(both, pem(NEW, OLD, NEW_WITH_OLD, OLD_WITH_NEW), NOON) == both
    assert accept_roots(KNOWN, pem(OLD, NEW), NOON) == KNOWN  # twin: no cross-certificate
    assert accept_roots(KNOWN, pem(OLD, NEW, OLD_WITH_NEW), NOON) == KNOWN


@pytest.mark.parametrize(
    "cross",
    [
        certify("New", STRANGER, key=NEW.key),  # by another root
        certify("New", STRANGER, key=NEW.key, issuer_name=OLD.certificate.subject),
        certify("New", OLD),  # another key
        certify("Newer", OLD, key=NEW.key),  # another name
        certify("New", OLD, key=NEW.key, ca=False),
        certify("New", OLD, key=NEW.key, usage=("crl_sign",)),
        certify("New", OLD, key=NEW.key, not_after=NOON - timedelta(hours=1)),
        certify("New", OLD, key=NEW.key, not_before=NOON + timedelta(hours=1)),
        certify("New", OLD, key=NEW.key, drop=[x509.BasicConstraints]),
        certify("New", OLD, key=NEW.key, path_length=0),  # an issuing authority's
    ],
)
def test_a_wrong_cross_certificate_opens_nothing(cross: CertifiedKey) -> None:
    """Name, key, CA bit, key usage, path length, dates and signature of the cross-certificate must be right."""
    assert accept_roots(KNOWN, pem(OLD, NEW, cross), NOON) == KNOWN


@pytest.mark.parametrize(
    "new",
    [
        toy_ca("New", key=NEW.key, not_after=NOON - timedelta(hours=1)),
        toy_ca("New", key=NEW.key, ca=False),
        certify("New", STRANGER, key=NEW.key),
    ],
)
def test_a_new_root_is_a_self_signed_ca_that_is_valid(new: CertifiedKey) -> None:
    """A certificate that is no root is not accepted, although its name and key are certified."""
    assert accept_roots(KNOWN, pem(OLD, new, NEW_WITH_OLD), NOON) == KNOWN


def test_a_leaf_below_the_old_root_certifies_no_root() -> None:
    """Who holds a certificate of the old authority cannot make a root of it, and an ended root cannot either."""
    leaf = OLD.leaf("alice")
    assert accept_roots(KNOWN, pem(OLD, NEW, certify("New", leaf, key=NEW.key)), NOON) == KNOWN
    ended = (toy_ca("Old", key=OLD.key, not_after=NOON - timedelta(hours=1)).certificate,)
    assert accept_roots(ended, pem(NEW, NEW_WITH_OLD), NOON) == ended


def test_the_key_of_an_issuing_authority_makes_no_root() -> None:
    """Its thief signs a root with its name and key; its certificate by the old root is no cross-certificate."""
    issuing = OLD.issuing("Issuing")
    forged = toy_ca("Issuing", key=issuing.key)
    assert forged.certificate.subject == issuing.certificate.subject
    assert accept_roots(KNOWN, pem(OLD, forged, issuing), NOON) == KNOWN
    assert learn_roots(KNOWN, Host(OLD, pem(forged, issuing)), NOON) == KNOWN


def test_a_revoked_cross_certificate_opens_nothing() -> None:
    """A rollover was undone and its new root withdrawn: the list of the old root names the cross-certificate."""
    offered = pem(OLD, NEW, NEW_WITH_OLD)
    serial = NEW_WITH_OLD.certificate.serial_number
    revoked = parse_root_list(crl_of(OLD, serial), OLD.certificate)
    other = parse_root_list(crl_of(STRANGER, serial), STRANGER.certificate)
    assert accept_roots(KNOWN, offered, NOON, revoked) == KNOWN
    assert learn_roots(KNOWN, Host(OLD, offered), NOON, revoked) == KNOWN
    assert accept_roots(KNOWN, offered, NOON, other) == (
        OLD.certificate,
        NEW.certificate,
    )  # another root's list


@pytest.mark.parametrize("data", [b"", b"x", pem(OLD)[:200], pem(*[OLD] * 6)])
def test_an_answer_that_is_no_list_of_roots_is_malformed(data: bytes) -> None:
    """Nothing is accepted of it, and the roots stay."""
    with refused(MalformedInput, "roots-malformed"):
        accept_roots(KNOWN, data, NOON)
    assert (
        learn_roots(KNOWN, lambda *_: Response(status=200, media_type=ROOTS_TYPE, body=data), NOON) == KNOWN
    )


def last_list(root: CertifiedKey, **options: Any) -> bytes:
    """The last list of a root, which ends with it."""
    return crl_of(root, **{"next_update": root.certificate.not_valid_after_utc, **options})


LISTS = pem_of_lists(crl_of(NEW), last_list(OLD))


class Host:
    """A host that proves its name by `own`, and answers with `offers` in turn."""

    def __init__(self, own: CertifiedKey, *offers: bytes, lists: bytes = LISTS) -> None:
        self.own, self.offers, self.lists = own.certificate, list(offers), lists

    def __call__(self, path: str, roots: Roots) -> Response:
        """Answer, if one of the roots is that of the host."""
        if self.own not in roots:
            raise RequestRefused("server-not-trusted", "no")
        if path == ROOT_LISTS_PATH:
            return Response(status=200, media_type=ROOT_LISTS_TYPE, body=self.lists)
        return Response(status=200, media_type=ROOTS_TYPE, body=self.offers.pop(0))


def test_an_old_root_is_dropped_only_if_the_host_needs_it_no_more() -> None:
    """The host proves its name with the remaining root alone; otherwise, or if it offers the old one there, it stays."""
    both = (OLD.certificate, NEW.certificate)
    assert learn_roots(both, Host(NEW, pem(NEW), pem(NEW)), NOON) == (NEW.certificate,)
    assert learn_roots(both, Host(OLD, pem(NEW), pem(NEW)), NOON) == both
    changed = Host(NEW, pem(NEW), pem(OLD, NEW, OLD_WITH_NEW))
    assert learn_roots(both, changed, NOON) == both


@pytest.mark.parametrize(
    "lists",
    [
        b"",
        pem_of_lists(crl_of(NEW), crl_of(OLD)),  # an ordinary one
        pem_of_lists(crl_of(NEW), last_list(OLD, signer=NEW.key)),
        pem_of_lists(last_list(NEW)),
    ],
)
def test_an_old_root_is_dropped_only_with_its_own_last_list(lists: bytes) -> None:
    """The thief of the next issuing authority's key is the host, offers the next root alone, and cannot make the old one go."""
    both = (OLD.certificate, NEW.certificate)
    assert learn_roots(both, Host(NEW, pem(NEW), pem(NEW), lists=lists), NOON) == both


def test_a_root_without_its_last_list_stops_no_later_rollover() -> None:
    """Its key is offline, and its list is not signed yet: it stays, and the next root is learned beside it."""
    third = toy_ca("Third")
    cross = certify("Third", NEW, key=third.key, path_length=1)
    offer = pem(NEW, third, cross)
    both = (OLD.certificate, NEW.certificate)
    found = learn_roots(both, Host(NEW, offer, offer, lists=pem_of_lists(crl_of(NEW))), NOON)
    assert found == (*both, third.certificate)
    many = tuple(toy_ca(f"Root {number}").certificate for number in range(4))
    held = (*many, NEW.certificate)
    assert learn_roots(held, Host(NEW, offer, offer, lists=b""), NOON) == held  # the file has five at most


def test_a_host_without_lists_drops_no_root() -> None:
    """An answer that is no list changes nothing."""
    both = (OLD.certificate, NEW.certificate)

    def fetch(path: str, _roots: Roots) -> Response:
        return Response(status=200 if path != ROOT_LISTS_PATH else 404, media_type=ROOTS_TYPE, body=pem(NEW))

    assert learn_roots(both, fetch, NOON) == both


def test_a_list_without_a_known_root_changes_nothing() -> None:
    """There is never an identity without a root, nor one with a root of somebody else."""
    assert learn_roots(KNOWN, Host(OLD, pem(STRANGER), pem(STRANGER)), NOON) == KNOWN


# the whole renewal


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> RenewalServer:
    """A host, at noon; without the syncs of a real disk."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    return RenewalServer(FakeClock())


def renew(server: RenewalServer, folder: Path, **options: Any) -> object:
    """Renew now."""
    return Keeper(IdentityOptions(directory=folder, **options), server.machine()).renew_now(
        server.clock.now()
    )


def replace_root(server: RenewalServer) -> tuple[CertifiedKey, CertifiedKey]:
    """Let the server issue below a new root, with the cross-certificate; return the old root and the new one."""
    old = server.root
    dates = {
        "not_before": server.clock.now() - timedelta(days=1),
        "not_after": server.clock.now() + timedelta(days=9000),
    }
    new = toy_ca("New Root", **dates)
    cross = certify("New Root", old, key=new.key, path_length=1, **dates)
    server.issuing = new.issuing(**dates)
    server.cross_pem, server.offered = cross.pem, [old, new, cross]
    server.verified_by = (old.certificate, new.certificate)
    return old, new


def test_a_renewal_brings_the_new_root_and_the_next_one_drops_the_old(
    server: RenewalServer, tmp_path: Path
) -> None:
    """No second enrolment: the file has both roots during the rollover, and the new one alone after it."""
    folder = server.enrolled(tmp_path / "id")
    old, new = replace_root(server)
    renew(server, folder)
    assert read_roots((folder / "root.pem").read_bytes()) == (old.certificate, new.certificate)
    assert (folder / "chain.pem").read_bytes().count(b"BEGIN") == 3
    server.verified_by, server.offered, server.cross_pem = (new.certificate,), [new], b""
    server.root_list = crl_of(new, 7, number=3)
    renew(server, folder)
    assert read_roots((folder / "root.pem").read_bytes()) == (old.certificate, new.certificate)
    server.last_lists = [last_list(old)]
    renew(server, folder)
    assert (folder / "root.pem").read_bytes() == new.pem
    kept = load_root_list(
        folder, new.certificate
    )  # at once: somebody with the old authority's key could withhold it
    assert kept is not None
    assert kept.serials == {7}
    assert (folder / "chain.pem").read_bytes().count(b"BEGIN") == 2
    renew(server, folder)


def test_a_host_of_an_earlier_version_renews_as_before(server: RenewalServer, tmp_path: Path) -> None:
    """It offers no list of roots; the root stays."""
    folder = server.enrolled(tmp_path / "id")
    renew(server, folder)
    assert (folder / "root.pem").read_bytes() == server.root.pem


def test_a_renewal_waits_for_the_roots(server: RenewalServer, tmp_path: Path) -> None:
    """If the list cannot be fetched, the old identity stays and the next run goes on; without time left, it is renewed."""
    folder = server.enrolled(tmp_path / "id")
    old, new = replace_root(server)
    before = (folder / "chain.pem").read_bytes()
    server.away_paths = ("/roots.pem",)
    assert code_of(renew, server, folder) == "server-unreachable"
    assert (folder / "chain.pem").read_bytes() == before
    server.away_paths = ()
    renew(server, folder)
    assert read_roots((folder / "root.pem").read_bytes()) == (old.certificate, new.certificate)
    server.away_paths = ("/roots.pem",)
    server.clock.turn(days=89)
    renew(server, folder)
    assert read_roots((folder / "root.pem").read_bytes()) == (old.certificate, new.certificate)

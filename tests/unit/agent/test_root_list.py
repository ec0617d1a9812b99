"""The root's revocation list at an agent: which lists count, the newest number stays, and a retired authority is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from doorward.agent.keeper import Keeper
from doorward.agent.options import IdentityOptions
from doorward.agent.renewal import Exchange
from doorward.agent.root_list import ROOT_LIST, choose_newer, find_root_list, load_root_list, parse_root_list
from doorward.agent.state import load_state
from doorward.agent.transport import Response
from doorward.core.errors import MalformedInput, Unavailable
from tests.support.certificates.issuing import CertifiedKey, certify, toy_ca
from tests.support.certificates.status import crl_of, entry, listed_for, scope
from tests.support.ports import NOON, FakeClock
from tests.support.refusals import code_of, refused
from tests.support.renewal_server import RenewalServer, pair_of, pem_of_lists, problem


@pytest.fixture(scope="module")
def root() -> CertifiedKey:
    """A root."""
    return toy_ca()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> RenewalServer:
    """A host, at noon; without the syncs of a real disk."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    return RenewalServer(FakeClock())


def retire(server: RenewalServer, number: int = 2) -> None:
    """The root's next list names the authority of the host."""
    server.root_list = crl_of(server.root, server.issuing.certificate.serial_number, number=number)


def name_of(root: CertifiedKey) -> str:
    """The name in a root's certificate."""
    return root.certificate.subject.rfc4514_string().removeprefix("CN=")


def keep(server: RenewalServer, folder: Path) -> str:
    """Let the agent do what is due; return the code of the problem that it remembers."""
    server.clock.turn(hours=7)
    Keeper(IdentityOptions(directory=folder), server.machine()).step(server.clock.now())
    found = load_state(folder).problem
    return found.code if found else ""


def test_only_a_whole_list_by_the_pinned_root_counts(root: CertifiedKey) -> None:
    """Another signer, another name, a part of a list, a delta, an indirect list, no number and rubbish are no lists."""
    other = toy_ca(name_of(root))
    good = crl_of(root, 7)
    for wrong in (
        b"",
        b"rubbish",
        good[:-1],
        crl_of(other, 7),
        crl_of(toy_ca("Other Root"), 7, signer=root.key),
        crl_of(root, 7, scope=scope(only_contains_user_certs=True)),
        crl_of(root, 7, base=1),
        crl_of(root, entry(7, None, listed_for(other))),
        crl_of(root, 7, number=None),
    ):
        with refused(MalformedInput, "root-list-malformed"):
            parse_root_list(wrong, root.certificate)
    assert parse_root_list(good, root.certificate).serials == {7}


def test_the_list_of_the_pinned_root_is_found(root: CertifiedKey) -> None:
    """During a rollover of the root the server gives two lists; without one of the pinned root there is none."""
    lists = pem_of_lists(crl_of(toy_ca("Next Root"), 1, number=9), crl_of(root, 7))
    assert find_root_list(lists, root.certificate).serials == {7}
    for none in (
        b"",
        b"rubbish",
        pem_of_lists(crl_of(toy_ca("Next Root"), 1)),
        lists.replace(b"\nM", b"\nA"),
    ):
        with refused(MalformedInput, "root-list-malformed"):
            find_root_list(none, root.certificate)


def test_what_the_root_signed_is_judged(root: CertifiedKey) -> None:
    """By its serial number, also if a cross-certificate leads the chain to another root."""
    issuing, leaf, other = root.issuing(), root.leaf("alice"), toy_ca("Next Root")
    cross = certify(name_of(root), other, key=root.key)
    found = parse_root_list(crl_of(root, issuing.certificate.serial_number), root.certificate)
    assert found.revokes([leaf.der, issuing.der, root.der])
    assert not found.revokes([leaf.der, root.issuing("Next").der, root.der])
    assert found.revokes([leaf.der, issuing.der, cross.der, other.der])
    same_number = certify("Issuing", other, serial=issuing.certificate.serial_number)
    assert not found.revokes([leaf.der, same_number.der, other.der])
    assert not found.revokes([b"rubbish"])
    assert not found.revokes([root.der])
    assert not found.revokes([])


def test_the_newest_number_stays(root: CertifiedKey) -> None:
    """Of lists of one second: an older or equal list does not take the place of the kept one, and a newer one does."""
    one, two = (parse_root_list(crl_of(root, number=number), root.certificate) for number in (1, 2))
    assert choose_newer(None, one) is one
    assert choose_newer(one, two) is two
    assert choose_newer(two, one) is two


def test_after_a_restored_backup_the_later_list_counts(root: CertifiedKey) -> None:
    """The server's numbers begin again with a smaller one; what was signed before does not come back by its larger number."""
    before = parse_root_list(crl_of(root, 7, number=9), root.certificate)
    after = parse_root_list(crl_of(root, 8, number=3, this_update=NOON), root.certificate)
    assert choose_newer(before, after) is after
    assert choose_newer(after, before) is after


def test_a_server_of_a_retired_authority_is_refused(server: RenewalServer, tmp_path: Path) -> None:
    """As soon as the agent has seen the list: reports and renewals, also after an older list and after a restart."""
    folder = server.enrolled(tmp_path / "id")
    assert keep(server, folder) == ""
    before = pair_of(folder)
    retire(server)
    assert keep(server, folder) == "server-not-trusted"
    server.root_list = crl_of(server.root, number=1)  # the attacker has this one, from before
    assert keep(server, folder) == "server-not-trusted"
    keeper = Keeper(IdentityOptions(directory=folder), server.machine())
    assert code_of(keeper.renew_now, server.clock.now()) == "server-not-trusted"
    assert (pair_of(folder), server.issued.keys()) == (before, {before[0]})
    kept = load_root_list(folder, server.root.certificate)
    assert kept is not None
    assert kept.number == 2


def test_an_older_list_does_not_replace_the_kept_one(server: RenewalServer, tmp_path: Path) -> None:
    """The file keeps the larger number; a list of another root in it, or a damaged one, is as if there were none."""
    folder = server.enrolled(tmp_path / "id")
    server.root_list = crl_of(server.root, 5, number=9)
    keep(server, folder)
    server.root_list = crl_of(server.root, number=8)
    assert keep(server, folder) == ""
    kept = load_root_list(folder, server.root.certificate)
    assert kept is not None
    assert (kept.number, kept.serials) == (9, {5})
    (folder / ROOT_LIST).write_bytes(crl_of(toy_ca(), number=20))
    assert load_root_list(folder, server.root.certificate) is None
    keep(server, folder)
    kept = load_root_list(folder, server.root.certificate)
    assert kept is not None
    assert kept.number == 8


@pytest.mark.parametrize("answer", ["none", "malformed", "away"])
def test_without_a_list_the_chain_alone_decides(server: RenewalServer, tmp_path: Path, answer: str) -> None:
    """An older host has no list: the agent goes on, because otherwise a late list would close every host."""
    folder = server.enrolled(tmp_path / "id")

    def send(host: object, roots: tuple[x509.Certificate, ...], exchange: Exchange) -> Response:
        if exchange.path != "/roots.crl":
            return server.send(host, roots, exchange)  # type: ignore[arg-type]
        if answer == "away":
            raise Unavailable("server-too-slow", "no answer")
        body = Response(status=200, media_type="application/x-pem-file", body=b"rubbish")
        return problem(404, "route-unknown") if answer == "none" else body

    machine = replace(server.machine(), send=send)
    Keeper(IdentityOptions(directory=folder), machine).renew_now(server.clock.now())
    assert not (folder / ROOT_LIST).exists()

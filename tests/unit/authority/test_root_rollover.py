"""A rollover of the root: the two roots and their cross-certificates, phase by phase."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from doorward.agent.root_list import parse_root_list
from doorward.authority import authority_certificates, founding, issuing
from doorward.authority.exported_key import encrypt_private_key
from doorward.authority.rollover import leaving, moving, preparing, root_preparing, viewing
from doorward.authority.rollover.table import RolloverStep, next_step
from doorward.authority.status import crls, root_crl
from doorward.core.entities import Outcome, Reason
from doorward.core.errors import ConfigurationError, DoorwardError, RequestRefused
from doorward.core.ports import KeyKind
from doorward.directory.fleets import manufacturers
from doorward.enrolment.est import enrolling
from doorward.partners import examining
from doorward.partners.terms import Terms
from doorward.stores.authority_protocols import RolloverState
from doorward.stores.prerequisites import trusted_issuers
from doorward.stores.records import AuthorityKind
from doorward.stores.roots import cross_certificates, is_cross, trusted_roots
from doorward.verification.import_lint import LintCode
from tests.support.certificates.issuing import certify
from tests.support.ports import NOON, FakeRandom, PlainKeys
from tests.support.refusals import refused
from tests.support.world import OPERATOR, found_world
from tests.unit.authority.test_rollover_crashes import Crash, CrashingWork

PASSPHRASE = b"correct horse battery"


@pytest.fixture
def world():
    """A founded authority with its first CRL, as `serve` publishes it."""
    founded = found_world()
    crls.publish_crls(founded.services)
    return founded


def prepared(world):
    """Return a rollover of the root with both roots trusted."""
    return root_preparing.prepare_root(world.services, actor=OPERATOR).value


def draining(world):
    """Return a rollover of the root that issues the certificates of the old authority again."""
    prepared(world)
    moving.activate(world.services, actor=OPERATOR)
    return moving.drain(world.services, actor=OPERATOR, window=timedelta(hours=1)).value


def retired(world):
    """Return the rollover after the old root has retired."""
    leaving.retire(world.services, actor=OPERATOR)
    return leaving.finish_leaving(world.services, actor="system")


def renew(world, held):
    """Return the successor of a certificate, as its holder's agent gets it."""
    claim = issuing.RenewalClaim(actor=OPERATOR, certificate=world.certificate(held))
    return issuing.issue(world.services, world.csr(), claim)


def roots(world):
    """Return the trusted roots, the current one first."""
    with world.work.read() as stores:
        return [x509.load_der_x509_certificate(one.der) for one in trusted_roots(stores)]


def crosses(world):
    """Return the trusted cross-certificates."""
    with world.work.read() as stores:
        return [x509.load_der_x509_certificate(one.der) for one in cross_certificates(stores)]


def is_verified(world, root, chain):
    """Return whether a client that has only this root accepts a chain, leaf first."""
    leaf, *above = map(x509.load_der_x509_certificate, chain)
    verifier = PolicyBuilder().store(Store([root])).time(world.clock.now()).build_client_verifier()
    try:
        verifier.verify(leaf, above)
    except VerificationError:
        return False
    return True


def test_prepare_makes_a_root_its_authority_and_both_cross_certificates(world):
    """The new root, the issuing authority below it and the cross-certificates verify; the old root is the current one."""
    (old,) = roots(world)
    made = prepared(world)
    first, new = roots(world)
    assert first == old
    with world.work.read() as stores:
        authority = stores.authorities.get(made.new_id)
        lists = [stores.status.crl(one.id) for one in trusted_roots(stores)]
    certificate = x509.load_der_x509_certificate(authority.der)
    certificate.verify_directly_issued_by(new)
    new_with_old, old_with_new = crosses(world)
    new_with_old.verify_directly_issued_by(old)
    old_with_new.verify_directly_issued_by(new)
    assert (new_with_old.subject, new_with_old.public_key()) == (new.subject, new.public_key())
    assert (old_with_new.subject, old_with_new.public_key()) == (old.subject, old.public_key())
    for crl, root in zip(lists, (old, new), strict=True):
        assert x509.load_der_x509_crl(crl.der).is_signature_valid(root.public_key())


def test_a_cross_certificate_opens_no_more_than_the_roots(world):
    """Its path length leaves room for one issuing authority, and it ends with the first of the two roots."""
    world.clock.turn(days=400, microseconds=7)
    prepared(world)
    old, new = roots(world)
    for one in crosses(world):
        value = one.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (value.critical, value.value.ca, value.value.path_length) == (True, True, 1)
        usage = one.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
        assert one.not_valid_after_utc <= min(old.not_valid_after_utc, new.not_valid_after_utc)
        assert one.not_valid_before_utc >= max(old.not_valid_before_utc, new.not_valid_before_utc)


def test_a_client_with_only_the_old_root_verifies_until_it_retires(world):
    """What the new authority issues is sent with NewWithOld; after the retirement only the new root verifies it."""
    old = roots(world)[0]
    alice = world.issue("alice")
    assert is_verified(world, old, alice.chain_der)
    draining(world)
    new = roots(world)[1]
    fresh = renew(world, alice)
    assert len(fresh.chain_der) == 3
    assert is_verified(world, old, fresh.chain_der)
    assert is_verified(world, new, fresh.chain_der)
    assert not is_verified(world, old, fresh.chain_der[:2])  # twin: without the cross-certificate
    retired(world)
    world.clock.turn(days=40)
    last = renew(world, fresh)
    assert len(last.chain_der) == 2
    assert is_verified(world, new, last.chain_der)
    assert not is_verified(world, old, last.chain_der)


def test_the_old_root_retires_with_its_authority(world):
    """Its leaves are refused and their twins admitted; its key and trust are gone, and its last CRL lasts until its end."""
    alice = world.issue("alice")
    draining(world)
    old, new = roots(world)
    fresh = renew(world, alice)
    assert world.decide(alice.der).verdict.outcome is Outcome.GOOD
    assert retired(world).state is RolloverState.RETIRED
    assert Reason.ISSUER_UNKNOWN in world.decide(alice.der).verdict.reasons
    assert world.decide(fresh.record.der).verdict.outcome is Outcome.GOOD
    assert roots(world) == [new]
    assert crosses(world) == []
    assert world.keys.names() == ["issuing-2", "ocsp-2", "root-2"]
    with world.work.read() as stores:
        gone = next(
            one for one in stores.authorities.list() if one.key_name == "root-1" and not is_cross(one)
        )
        last = x509.load_der_x509_crl(stores.status.crl(gone.id).der)
        assert stores.authorities.current(AuthorityKind.ROOT).key_name == "root-2"
    assert last.next_update_utc == old.not_valid_after_utc
    # It lists the old issuing authority and NewWithOld, the new root's list has OldWithNew.
    assert len(last) == 2
    with world.work.read() as stores:
        present = stores.authorities.current(AuthorityKind.ROOT)
        assert len(x509.load_der_x509_crl(stores.status.crl(present.id).der)) == 1
        handed_out = [stores.status.crl(one.id).der for one in (present, gone)]
    # Agents drop the old root with its last list, so it is handed out until the root's end.
    assert list(root_crl.newest_root_lists(world.services)) == handed_out
    assert parse_root_list(handed_out[1], old).is_last
    assert not parse_root_list(handed_out[0], new).is_last
    world.clock.turn(seconds=(old.not_valid_after_utc - world.clock.now()).total_seconds())
    assert list(root_crl.newest_root_lists(world.services)) == handed_out[:1]


def test_a_root_in_its_last_year_lists_what_retires_with_it(world):
    """Its newest list from before lasts beyond its end already, and is not taken for the last one."""
    with world.work.read() as stores:
        root = stores.authorities.current(AuthorityKind.ROOT)
        issuing_end = stores.authorities.current(AuthorityKind.ISSUING).not_after
    world.clock.turn(seconds=(issuing_end - timedelta(days=90) - world.clock.now()).total_seconds())
    preparing.prepare(world.services, actor=OPERATOR)
    crls.publish_crls(world.services)
    moving.activate(world.services, actor=OPERATOR)
    moving.drain(world.services, actor=OPERATOR)
    retired(world)
    world.clock.turn(seconds=(root.not_after - timedelta(days=120) - world.clock.now()).total_seconds())
    root_crl.renew_root_list(world.services, actor="system")
    draining(world)
    retired(world)
    with world.work.read() as stores:
        last = x509.load_der_x509_crl(stores.status.crl(root.id).der)
        below = {root_crl.serial_of(one): one.not_after for one in root_crl.retired_below(stores, root)}
    # Three: two issuing authorities, of which one has ended, and NewWithOld.
    assert len(below) == 3
    unlisted = below.keys() - {one.serial_number for one in last}
    assert [below[one] for one in unlisted] == [issuing_end]
    assert last.next_update_utc == root.not_after


def test_what_we_hand_out_has_both_roots_until_one_retires(world):
    """The export, the bundle for agents and EST's cacerts (NewWithOld and OldWithNew too) have both roots meanwhile."""

    def handed_out():
        services = world.services
        return [
            set(map(x509.load_der_x509_certificate, one))
            for one in (
                authority_certificates.current_authority_certificates(services),
                authority_certificates.root_bundle(services),
                enrolling.authority_certificates(services),
            )
        ]

    draining(world)
    both, signed = set(roots(world)), set(crosses(world))
    export, bundle, est = handed_out()
    assert both <= export
    assert not signed & export
    assert both | signed == bundle
    assert both | signed <= est
    retired(world)
    (new,) = roots(world)
    for found in handed_out():
        assert new in found
        assert not (both - {new}) & found
        assert not signed & found


def test_undo_gives_the_new_root_up(world):
    """From prepared, one undo takes the trust from the new root and destroys its keys; the next one gets another name."""
    old = roots(world)[0]
    prepared(world)
    new = roots(world)[1]
    moving.undo(world.services, actor=OPERATOR)
    leaving.finish_leaving(world.services, actor="system")
    assert roots(world) == [old]
    _, last = root_crl.newest_root_lists(
        world.services
    )  # agents that have learned the new root drop it with this one
    assert parse_root_list(last, new).is_last
    assert crosses(world) == []
    assert world.keys.names() == ["issuing-1", "ocsp-1", "root-1"]
    prepared(world)
    assert [one.subject.rfc4514_string().endswith("Root 3") for one in roots(world)] == [False, True]


def test_prepare_is_repeated_without_effect_and_does_not_mix_with_the_other_kind(world):
    """A second prepare of the root changes nothing; while a rollover below the same root goes on, it is refused."""
    made = prepared(world)
    again = root_preparing.prepare_root(world.services, actor=OPERATOR)
    assert (again.value, bool(again.notes)) == (made, True)
    moving.undo(world.services, actor=OPERATOR)
    leaving.finish_leaving(world.services, actor="system")
    preparing.prepare(world.services, actor=OPERATOR)
    with refused(RequestRefused, "rollover-step-refused"):
        root_preparing.prepare_root(world.services, actor=OPERATOR)


def test_the_offline_root_signs_its_successor_with_its_export(world):
    """With the export the old root signs once; its key does not come back, and its last CRL is signed with the export too."""
    pem = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    founding.remove_root_key(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)
    root_preparing.prepare_root(world.services, actor=OPERATOR, exported=pem, passphrase=PASSPHRASE)
    assert "root-1" not in world.keys.names()
    moving.activate(world.services, actor=OPERATOR)
    moving.drain(world.services, actor=OPERATOR)
    sentence = viewing.preview(world.services, RolloverStep.RETIRE).sentences[-1]
    assert "the root root-1" in sentence
    assert "its key is not here" in sentence
    assert retired(world).state is RolloverState.RETIRED
    assert "root-2" in world.keys.names()
    assert "--exported old-root-key.pem" in viewing.view_rollover(world.services).next_step
    last = root_crl.renew_exported_root_list(
        world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR
    )
    with world.work.read() as stores:
        gone = stores.authorities.get(last.authority_id)
    assert (gone.key_name, last.next_update) == ("root-1", gone.not_after)
    assert len(x509.load_der_x509_crl(last.der)) == 2
    assert viewing.view_rollover(world.services).next_step == next_step(RolloverState.RETIRED)
    with refused(RequestRefused, "export-of-another-key"):
        root_crl.renew_exported_root_list(
            world.services, exported=other_export(), passphrase=PASSPHRASE, actor=OPERATOR
        )


def other_export():
    """Return the export of a key that is no root's."""
    key = PlainKeys().generate(KeyKind.P256)
    return encrypt_private_key(key, PASSPHRASE, FakeRandom())


def test_the_preview_names_the_new_root(world):
    """`--dry-run` says that a root is made, and changes nothing."""
    found = viewing.preview(world.services, RolloverStep.PREPARE, new_root=True)
    assert "a new root is made" in found.sentences[0]
    assert len(roots(world)) == 1
    assert viewing.view_rollover(world.services).roots == ()
    draining(world)
    assert [one.key_name for one in viewing.view_rollover(world.services).roots] == ["root-1", "root-2"]
    told = " ".join(viewing.preview(world.services, RolloverStep.RETIRE).sentences)
    assert "programs that have only the root root-1 refuse our servers then" in told
    assert "the key root-1 is destroyed" in told
    assert world.clock.now() >= NOON


def test_no_partner_and_no_manufacturer_may_bring_a_root_of_ours(world):
    """The old root, the new one and both cross-certificates are refused, during the rollover and after it."""

    def check(ders):
        for der in ders:
            found = examining.examine(world.services, "acme", Terms(), anchors=[der], intermediates=[])
            assert LintCode.OWN_AUTHORITY in [one.code for one in found]
            with refused(ConfigurationError, "own-authority"):
                manufacturers.import_manufacturer(world.services, "acme", anchors=[der], actor=OPERATOR)

    draining(world)
    every = authority_certificates.root_bundle(world.services)
    assert len(every) == 4
    check(every)
    retired(world)
    check(every)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ["prepare", "retire"])
def test_a_crash_leaves_the_roots_of_the_trusted_authorities(world, name, after):
    """A process that dies at any transaction leaves exactly the roots of what is trusted; the same step completes it."""

    def step(services):
        if name == "prepare":
            root_preparing.prepare_root(services, actor=OPERATOR)
        else:
            leaving.retire(services, actor=OPERATOR)
            leaving.finish_leaving(services, actor="system")

    if name == "retire":
        draining(world)
    for number in range(1, 20):
        services = replace(world.services, work=CrashingWork(world.work, number, after=after))
        try:
            step(services)
        except Crash:
            pass
        except DoorwardError as error:
            assert (name, error.code) == ("retire", "rollover-none")  # noqa: PT017
            break
        else:
            break
        with world.work.read() as stores:
            issuers, trusted = trusted_issuers(stores), trusted_roots(stores)
            assert {one.issuer_id for one in issuers} == {one.id for one in trusted}
            assert len(cross_certificates(stores)) == (2 if len(trusted) > 1 else 0)
            assert trusted[0].current
    else:
        pytest.fail("the step never ends")
    assert len(roots(world)) == (2 if name == "prepare" else 1)


def test_a_database_of_an_earlier_phase_is_restored(world):
    """The keys of the old root and of its authority are destroyed: undo is refused, and retire ends the rollover again."""
    draining(world)
    before = world.work.state.copy()
    retired(world)
    new = roots(world)
    world.work.state = before
    assert len(roots(world)) == 2
    with refused(RequestRefused, "rollover-key-missing"):
        moving.undo(world.services, actor=OPERATOR)
    assert retired(world).state is RolloverState.RETIRED
    assert roots(world) == new
    assert crosses(world) == []


def test_a_root_that_may_certify_no_root_is_refused(world):
    """A root with path length 1 permits one authority below it: a chain with a cross-certificate would be refused."""
    certified = certify("Short Root", path_length=1)
    with world.work.change() as stores:
        root = stores.authorities.current(AuthorityKind.ROOT)
        stores.authorities.add(replace(root, id="aut_short", der=certified.der))
    with refused(RequestRefused, "root-cannot-certify-root"):
        prepared(world)
    assert world.keys.names() == ["issuing-1", "ocsp-1", "root-1"]

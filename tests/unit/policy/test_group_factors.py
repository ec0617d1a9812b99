"""policy.group_factors: which second factors the members of a group must have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.core.entities import PrincipalKind
from doorward.core.errors import ConfigurationError
from doorward.core.factor_kinds import FactorKind
from doorward.policy.analysis import check_names, diff_documents
from doorward.policy.document import append_app, parse_document, render_document
from doorward.policy.editing import replace_app
from doorward.policy.group_factors import RequiredFactors, required_factors
from tests.support.records import principal

DOCUMENT = """\
trust_domain: corp.example
factors: {tellers: [webauthn], staff: any, board: [totp, webauthn]}
apps:
  pay:
    hosts: [pay.corp.example]
    upstream: http://127.0.0.1:9000
"""
ALICE = principal("alice", tenant="ten_1", id="per_1")
PASSKEY = frozenset({FactorKind.WEBAUTHN})


def test_groups_are_read_and_rendered() -> None:
    """Sorted; the canonical document means the same."""
    document = parse_document(DOCUMENT)
    assert [(group, required.words) for group, required in document.factors] == [
        ("board", ("totp", "webauthn")),
        ("staff", ("any",)),
        ("tellers", ("webauthn",)),
    ]
    assert parse_document(render_document(document)) == document
    assert parse_document("trust_domain: a.b\nfactors:\n").factors == ()
    assert parse_document("trust_domain: a.b\nfactors: {a: [any, totp]}\n").factors[0][1].words == ("totp",)


def test_a_list_without_groups_is_answered_with_an_example() -> None:
    """A list without a group is a fault."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document("trust_domain: a.b\nfactors: [webauthn]\n")
    (fault,) = caught.value.faults
    assert (fault.code, fault.hint) == ("wrong-type", "write {tellers: [webauthn], staff: [any]}")


def test_a_document_says_whether_it_asks_for_factors() -> None:
    """By a rule, or of a group."""
    plain = DOCUMENT.replace("factors: {tellers: [webauthn], staff: any, board: [totp, webauthn]}\n", "")
    rule = "    rules: [{allow: {kind: person}, require: {level: 2}}]\n"
    assert [parse_document(text).requires_factors for text in (plain, plain + rule, DOCUMENT)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ((), ()),
        (("other",), ()),
        (("staff",), ("any",)),
        (("staff", "tellers"), ("webauthn",)),
        (("board", "tellers"), ("totp", "webauthn")),
    ],
)
def test_a_person_must_have_what_all_its_groups_require(
    groups: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """A particular factor is one of any kind, too."""
    required = required_factors(parse_document(DOCUMENT), replace(ALICE, groups=groups))
    assert required.words == words
    assert bool(required) is bool(words)


@pytest.mark.parametrize("kind", [PrincipalKind.DEVICE, PrincipalKind.SERVICE])
def test_machines_have_no_second_factor(kind: PrincipalKind) -> None:
    """Devices and services need no factor, in any group."""
    machine = replace(ALICE, kind=kind, groups=("tellers",))
    assert not required_factors(parse_document(DOCUMENT), machine)


@pytest.mark.parametrize(
    ("required", "enrolled", "words"),
    [
        (RequiredFactors(kinds=PASSKEY), set(), ("webauthn",)),
        (RequiredFactors(kinds=PASSKEY), {FactorKind.TOTP}, ("webauthn",)),
        (RequiredFactors(kinds=PASSKEY), {FactorKind.WEBAUTHN}, ()),
        (RequiredFactors(any_kind=True), {FactorKind.RECOVERY}, ("any",)),
        (RequiredFactors(any_kind=True), {FactorKind.PASSWORD}, ()),
    ],
)
def test_what_is_missing(
    required: RequiredFactors, enrolled: set[FactorKind], words: tuple[str, ...]
) -> None:
    """A recovery code is no factor."""
    assert required.find_missing(enrolled).words == words


def test_impossible_duties() -> None:
    """A recovery code cannot be required, nor a group twice, nor nothing of it."""
    for wrong in ({"kinds": frozenset({FactorKind.RECOVERY})}, {"kinds": PASSKEY, "any_kind": True}):
        with pytest.raises(ValueError, match="second factors"):
            RequiredFactors(**wrong)  # type: ignore[arg-type]
    document, duty = parse_document(DOCUMENT), RequiredFactors(any_kind=True)
    for factors in ((("a", duty), ("a", duty)), (("b", duty), ("a", duty)), (("a", RequiredFactors()),)):
        with pytest.raises(ValueError, match="sorted"):
            replace(document, factors=factors)


@pytest.mark.parametrize(
    ("text", "code", "key"),
    [
        ("{tellers: [webautn]}", "factor-unknown", "factors.tellers"),
        ("{tellers: []}", "wrong-type", "factors.tellers"),
        ("{Tellers: [any]}", "name-malformed", "factors.Tellers"),
        ("[any]", "wrong-type", "factors"),
    ],
)
def test_faults(text: str, code: str, key: str) -> None:
    """Each at its place; an unknown factor with the nearest."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(f"trust_domain: corp.example\nfactors: {text}\n")
    (fault,) = caught.value.faults
    assert (fault.code, fault.line, fault.key) == (code, 2, key)
    assert fault.code != "factor-unknown" or fault.hint == "did you mean webauthn?"


def test_differences_are_told_by_group() -> None:
    """Added, removed, changed."""
    old = parse_document(DOCUMENT)
    new = parse_document(DOCUMENT.replace("staff: any, board: [totp, webauthn]", "staff: totp, crew: any"))
    assert [str(one) for one in diff_documents(old, new)] == [
        "- factors.board: totp, webauthn",
        "~ factors.staff: any -> totp",
        "+ factors.crew: any",
    ]


def test_an_empty_group_is_reported() -> None:
    """With the nearest one that there is."""
    found = [
        str(one) for one in check_names(parse_document(DOCUMENT), principals=(), groups=["teller", "staff"])
    ]
    assert "factors.tellers: the directory has no group tellers (did you mean teller?)" in found
    assert "factors.board: the directory has no group board (doorward group add board MEMBER)" in found
    assert not [one for one in found if one.startswith("factors.staff")]


@pytest.mark.parametrize(
    "text", [DOCUMENT, render_document(parse_document(DOCUMENT)).replace("\n  ", "\n    ")]
)
def test_shortcuts_keep_them(text: str) -> None:
    """Adding, changing or removing an application keeps the required factors of groups."""
    before = parse_document(text)
    added = append_app(text, "b", hosts=["b.corp.example"], upstream="http://[::1]:1")
    assert parse_document(added).factors == before.factors
    changed = replace(before.apps[0], hosts=("other.corp.example",))
    for app in (changed, None):
        assert parse_document(replace_app(text, "pay", app)).factors == before.factors

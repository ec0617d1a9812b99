"""Leaves: canonical bytes, commitments, and reading both back."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from doorward.audit.events import EventType, Retention
from doorward.audit.leaf import (
    MAX_LEAF_BYTES,
    Leaf,
    check_personal,
    commitment,
    count_commitments,
    opens_leaf,
    parse_canonical,
    parse_leaf,
    render_canonical,
    seal_event,
)
from doorward.core.errors import MalformedInput
from tests.support.events import ALICE, request_answered, seal
from tests.support.refusals import refused

SALT = bytes(range(32))
EVENT = request_answered(7, source="203.0.113.9", path="/patients/Zoë")
LEAF = seal_event(EVENT, SALT).leaf


def altered(**changes: object) -> bytes:
    """Return the leaf with other top-level fields, in canonical form."""
    return render_canonical(json.loads(LEAF) | changes)


def test_the_leaf_byte_for_byte() -> None:
    """The bytes of a leaf are fixed: another encoding would break every existing log."""
    salts = hashlib.shake_256(b"doorward field salts\x00" + SALT).digest(64)
    path = hmac.digest(salts[:32], "path\x00/patients/Zoë".encode(), "sha256").hex()
    source = hmac.digest(salts[32:], b"source\x00203.0.113.9", "sha256").hex()
    assert LEAF.decode() == (
        '{"actor":"per_alice00000000000000","at":"2026-11-23T12:00:07.000000Z",'
        '"data":{"gateway":"gtw_0123456789abcdefghij","method":"GET","principal":"per_alice00000000000000",'
        '"status":200},"id":"evt_00000000000000000007",'
        f'"personal":{{"path":"{path}","source":"{source}"}},'
        '"tenant":"ten_default","type":"request:answered","v":1}'
    )


def test_no_personal_value_is_in_the_leaf() -> None:
    """The leaf has commitments only; each opening is separate, with a salt of its own."""
    sealed = seal_event(EVENT, SALT)
    assert b"203.0.113.9" not in sealed.leaf
    assert b"patients" not in sealed.leaf
    assert [(opening.field, opening.value) for opening in sealed.openings] == [
        ("path", "/patients/Zoë"),
        ("source", "203.0.113.9"),
    ]
    assert len({SALT, *(opening.salt for opening in sealed.openings)}) == 3
    assert all(len(opening.salt) == 32 and opening.subject == ALICE for opening in sealed.openings)


def test_a_sealed_event_has_the_values_for_storage() -> None:
    """Id, type, time, tenant and retention are available beside the leaf."""
    sealed = seal_event(EVENT, SALT)
    assert (sealed.id, sealed.type, sealed.at, sealed.tenant, sealed.retention) == (
        EVENT.id,
        EventType.REQUEST_ANSWERED,
        EVENT.at,
        EVENT.tenant,
        Retention.ACCESS,
    )


def test_an_opening_shows_neither_value_nor_salt() -> None:
    """A printed opening shows neither value nor salt."""
    opening = seal_event(EVENT, SALT).openings[0]
    assert "patients" not in repr(opening)
    assert "salt" not in repr(opening)


@pytest.mark.parametrize("salt", [b"", b"x" * 31, b"x" * 33])
def test_a_salt_has_32_bytes(salt: bytes) -> None:
    """A shorter salt is refused, because values could be guessed."""
    with pytest.raises(ValueError, match="32 bytes"):
        seal_event(EVENT, salt)


def test_another_salt_is_another_commitment() -> None:
    """Equal values in two events have different commitments."""
    first, second = parse_leaf(LEAF), parse_leaf(seal_event(EVENT, bytes(32)).leaf)
    assert first.data == second.data
    assert not set(first.personal.values()) & set(second.personal.values())


def test_a_leaf_is_read_back() -> None:
    """Parsing a rendered leaf gives the same values."""
    leaf = parse_leaf(LEAF)
    assert (leaf.id, leaf.type, leaf.at, leaf.tenant, leaf.actor) == (
        EVENT.id,
        "request:answered",
        EVENT.at,
        EVENT.tenant,
        EVENT.actor,
    )
    assert leaf.data == EVENT.data
    assert leaf.personal.keys() == EVENT.personal.keys()


def test_values_of_every_kind_are_read_back() -> None:
    """Lists become tuples again; text, numbers and flags stay what they are."""
    longest = "é" * 2048
    leaf = parse_leaf(altered(data={"a": ["x", "y"], "b": True, "c": -5, "d": longest, "e": 2**53 - 1}))
    assert leaf.data == {"a": ("x", "y"), "b": True, "c": -5, "d": longest, "e": 2**53 - 1}


def test_a_type_of_the_future_is_read() -> None:
    """An old version can parse a type that is not in its catalogue."""
    assert parse_leaf(altered(type="moon:landed-on")).type == "moon:landed-on"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b"\xff",
        LEAF + b"\n",
        b" " + LEAF,
        LEAF.replace(b'"v":1', b'"v":1,"v":1'),
        LEAF.replace(b":200", b":2e2"),
        LEAF.replace(b":200", b":200.0"),
        LEAF.replace(b":200", b":NaN"),
        LEAF.replace(b":200", b":null"),
        LEAF.replace(b":200", b":9007199254740993"),
        LEAF.replace(b":200", b":" + b"9" * 30),
        LEAF.replace(b":200", b":{}"),
        LEAF.replace(b":200", b":[1]"),
        LEAF.replace(b"GET", b"\\u0047ET"),
        LEAF.replace(b"GET", b"\\ud800"),
        LEAF.replace(b"GET", b"G" * 2049),
        b"[" * 900 + b"]" * 900,
        b"[" * 60000,
        altered(extra=1),
        altered(v=2),
        altered(v=True),
        altered(id="EVT"),
        altered(id=5),
        altered(type="request"),
        altered(tenant=""),
        altered(actor="per alice"),
        altered(at="2026-11-23T12:00:07Z"),
        altered(at="2026-11-23T12:00:07.000000+01:00"),
        altered(at="2026-11-23 12:00:07"),
        altered(at="yesterday"),
        altered(at=0),
        altered(data=[]),
        altered(personal=[]),
        altered(personal={"path": "ab"}),
        altered(personal={"path": 5}),
        altered(data={"UPPER": 1}),
        altered(data={"": 1}),
        altered(data={"filler": ["x"] * MAX_LEAF_BYTES}),
    ],
)
def test_other_forms_are_no_leaf(data: bytes) -> None:
    """Other forms, orders, escapes, numbers, keys and lengths are refused with our error."""
    with refused(MalformedInput, "leaf-malformed"):
        parse_leaf(data)


def test_a_commitment_is_opened_by_its_value_and_salt() -> None:
    """Only the exact value with the exact salt opens a commitment."""
    leaf = parse_leaf(LEAF)
    for opening in seal_event(EVENT, SALT).openings:
        tries = [
            ((opening.field, opening.value, opening.salt), True),
            ((opening.field, opening.value + "x", opening.salt), False),
            ((opening.field, opening.value, bytes(32)), False),
            ((opening.field, opening.value, SALT), False),
            (("name", opening.value, opening.salt), False),
            ((opening.field, "\ud800", opening.salt), False),
            (("\ud800", opening.value, opening.salt), False),
        ]
        for values, opens in tries:
            assert check_personal(leaf, *values) is opens
            assert opens_leaf(LEAF, *values) is opens


@pytest.mark.parametrize("length", [0, 32, 64, 65])
def test_a_commitment_is_an_hmac(length: int) -> None:
    """RFC 2104, also for a salt longer than a block of the hash, which is hashed first."""
    salt = bytes(range(length))
    assert commitment("name", "Bob", salt) == hmac.digest(salt, b"name\x00Bob", "sha256").hex()


def test_a_commitment_for_one_field_opens_no_other() -> None:
    """The commitment includes the field's name, so a value does not open another field."""
    opening = seal_event(EVENT, SALT).openings[0]
    moved = altered(personal={"name": parse_leaf(LEAF).personal["path"]})
    assert not opens_leaf(moved, "name", opening.value, opening.salt)


def test_name_and_value_are_kept_apart() -> None:
    """No value can be read as a part of a field's name."""
    assert commitment("ab", "c", SALT) != commitment("a", "bc", SALT)


def test_an_erased_opening_leaves_the_leaf_valid() -> None:
    """A leaf is parsed and counted in the same way after an opening was erased."""
    assert isinstance(parse_leaf(LEAF), Leaf)
    assert count_commitments(LEAF) == 2


@pytest.mark.parametrize(
    ("leaf", "count"),
    [
        (b"", 0),
        (b'{"a":"b"}', 0),
        (seal_event(replace(EVENT, personal={}), SALT).leaf, 0),
        (seal(request_answered(1, path='"personal":{"x":"y"}')).leaf, 1),
    ],
)
def test_commitments_are_counted(leaf: bytes, count: int) -> None:
    """The count is that of the personal part, and 0 for other bytes."""
    assert count_commitments(leaf) == count


def test_canonical_json_keeps_its_limit() -> None:
    """A document of the limit's length is parsed, a longer one is not."""
    assert parse_canonical(b"[1,2]", 5) == [1, 2]
    with refused(MalformedInput, "json-malformed"):
        parse_canonical(b"[1,23]", 5)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, False]}, '{"a":[true,false],"b":1}'),
        # RFC 8785 section 3.2.2.2 and its example: short escapes only, everything else as UTF-8.
        ('€$\x0f\nA\'B"\\\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
        ("\x08\t\n\x0c\r\x1f\x7f", '"\\b\\t\\n\\f\\r\\u001f\x7f"'),
    ],
)
def test_canonical_json_is_rfc_8785(value: object, text: str) -> None:
    """Keys sorted, no space, the escapes of RFC 8785."""
    assert render_canonical(value) == text.encode()

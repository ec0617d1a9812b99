"""Leaves: the bytes that the Merkle tree commits to, with personal data behind commitments.

Not here: which fields there are (`catalogue`), the tree (`merkle`), storage (`log`).

A leaf is canonical JSON: an RFC 8785 (JCS) document, restricted further so that an ordinary JSON
writer with sorted keys produces it. Keys are ASCII, so that code point order equals the UTF-16 order
of RFC 8785 section 3.2.3; numbers are integers within 2^53; there is no float and no null; strings
hold no control character; `personal` maps a field to the hex of its commitment.

    {"actor":"per_…","at":"2026-11-23T12:00:00.000000Z","data":{…},"id":"evt_…",
     "personal":{"source":"9f…"},"tenant":"ten_…","type":"connection:admitted","v":1}

    field salts = SHAKE-256("doorward field salts" || 0x00 || record salt), 32 bytes for each personal
                  field, in the order of the fields' names
    commitment  = HMAC-SHA-256(field salt, field || 0x00 || value)

Every field has a salt of its own, derived from the record's, which nobody keeps: so one field can be
erased (value and salt) while its neighbour stays open, and the salt that stays opens nothing else.
Without its salt a commitment says nothing, not even to somebody who can guess the value; the leaf
stays valid, and the field counts as *redacted*.

Standard: RFC 8785 (JSON canonicalisation), RFC 2104 (HMAC), FIPS 202 (SHAKE).
"""

from __future__ import annotations

import dataclasses
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import shake_256
from types import MappingProxyType
from typing import NoReturn

from doorward.audit.events import Event, EventType, Retention
from doorward.audit.values import MAX_INTEGER, MAX_STRING, Value, render_moment
from doorward.core.errors import MalformedInput

VERSION = 1
MAX_LEAF_BYTES = 65_536
"""An event within its own limits never comes near; a leaf that is longer was not written by us."""
SALT_BYTES = 32
"""As long as the digest: RFC 2104 section 3 advises keys no shorter."""

_KEYS = frozenset({"actor", "at", "data", "id", "personal", "tenant", "type", "v"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_TYPE = re.compile(r"[a-z][a-z0-9-]{0,63}:[a-z][a-z0-9-]{0,63}", re.ASCII)
_WHO = re.compile(r"[a-z0-9_:]{1,64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentOpening:
    """What opens one commitment: kept apart from the leaf, erased without touching it.

    `salt` is this field's own (32 bytes); `subject` is the id that the value is about.
    """

    field: str
    value: str = dataclasses.field(repr=False)
    salt: bytes = dataclasses.field(repr=False)
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEvent:
    """An event as it is recorded: the leaf, and apart from it what opens its commitments."""

    id: str
    type: EventType
    at: datetime
    tenant: str
    leaf: bytes
    openings: tuple[CommitmentOpening, ...]
    retention: Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A leaf read back. `type` is text: an old reader must be able to verify a newer log."""

    id: str
    type: str
    at: datetime
    tenant: str
    actor: str
    data: Mapping[str, Value] = dataclasses.field(hash=False)
    personal: Mapping[str, str] = dataclasses.field(hash=False)


def seal_event(event: Event, salt: bytes) -> SealedEvent:
    """Render an event and set aside what opens its personal fields.

    Args:
        event: a valid event.
        salt: 32 fresh random bytes, used for this event only and kept nowhere.

    Raises:
        ValueError: the salt is not 32 bytes: a fault of the caller, not of any input.

    Standard: RFC 8785; DESIGN section 2.7.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError("the salt of an event is 32 bytes")
    stream = shake_256(b"doorward field salts\x00" + salt).digest(SALT_BYTES * len(event.personal))
    openings = tuple(
        CommitmentOpening(
            field=name,
            value=value,
            salt=stream[place * SALT_BYTES : (place + 1) * SALT_BYTES],
            subject=event.subject_of(name),
        )
        for place, (name, value) in enumerate(event.personal.items())
    )
    leaf = render_canonical(
        {
            "actor": event.actor,
            "at": render_moment(event.at),
            "data": dict(event.data),
            "id": event.id,
            "personal": {
                opening.field: commitment(opening.field, opening.value, opening.salt) for opening in openings
            },
            "tenant": event.tenant,
            "type": event.type.value,
            "v": VERSION,
        }
    )
    return SealedEvent(
        id=event.id,
        type=event.type,
        at=event.at,
        tenant=event.tenant,
        leaf=leaf,
        openings=openings,
        retention=event.retention,
    )


def commitment(name: str, value: str, salt: bytes) -> str:
    """Return the hex HMAC-SHA-256 that commits to one personal value under that field's salt.

    The zero byte parts name and value: no field name holds one, so no two pairs give one message.
    """
    return hmac.digest(salt, f"{name}\x00{value}".encode("utf-8", "surrogatepass"), "sha256").hex()


def check_personal(leaf: Leaf, name: str, value: str, salt: bytes) -> bool:
    """Tell whether a value and its field salt open the commitment of a leaf; False for unknown fields."""
    expected = leaf.personal.get(name)
    return expected is not None and hmac.compare_digest(expected, commitment(name, value, salt))


def opens_leaf(leaf: bytes, name: str, value: str, salt: bytes) -> bool:
    """Tell the same as `check_personal` for a leaf's bytes, without parsing them.

    In canonical JSON no text can hold an unescaped quote, so the pair found is a pair of the leaf.
    """
    return f'"{name}":"{commitment(name, value, salt)}"'.encode("utf-8", "surrogatepass") in leaf


def count_commitments(leaf: bytes) -> int:
    """Return how many personal fields a leaf has, without parsing it; 0 for what is no leaf."""
    _, found, rest = leaf.rpartition(b'"personal":{')  # neither names nor digests hold a quote or a brace
    return rest.partition(b"}")[0].count(b'":"') if found else 0


def render_canonical(value: object) -> bytes:
    """Return canonical JSON (module docstring) of dicts with ASCII keys, sequences, text, ints and bools.

    Raises:
        ValueError: a float that is not finite, or text with a lone surrogate.
    """
    return _encode(value).encode()


def parse_canonical(data: bytes, limit: int) -> object:
    """Parse JSON without floats, nulls allowed, at most `limit` bytes.

    Returns:
        dicts, lists, text, ints, bools, None. That `data` is the canonical form is not checked.

    Raises:
        MalformedInput: `json-malformed`.
    """
    if len(data) > limit:
        raise MalformedInput("json-malformed", f"longer than {limit} bytes")
    try:
        return _decoder.decode(data.decode())
    except (ValueError, RecursionError) as error:  # RecursionError: [[[[… nests deeper than the stack
        raise MalformedInput("json-malformed", "not JSON as canonical leaves use it") from error


def parse_leaf(data: bytes) -> Leaf:
    """Parse a leaf and hold it to its canonical form.

    Args:
        data: at most 65,536 bytes.

    Returns:
        The leaf; `parse_leaf(x)` succeeds only where rendering its parts gives `x` again.

    Raises:
        MalformedInput: `leaf-malformed`.

    Not checked: that the type and its fields are in the catalogue of this version.
    """
    try:
        fields = parse_canonical(data, MAX_LEAF_BYTES)
        if render_canonical(fields) == data:  # refuses doubled keys, spaces, other escapes, other orders
            return _leaf_from(fields)
    except (ValueError, RecursionError):
        pass  # a lone surrogate written as an escape; an array nested just less than the parser bears
    except MalformedInput as error:
        raise MalformedInput("leaf-malformed", f"the leaf is {error.detail}") from error
    raise MalformedInput("leaf-malformed", "the leaf is not in canonical form")


def _leaf_from(fields: object) -> Leaf:
    # repr and not ==: true equals 1 in Python and is another leaf in JSON.
    if not isinstance(fields, dict) or fields.keys() != _KEYS or repr(fields["v"]) != repr(VERSION):
        raise MalformedInput("leaf-malformed", "not a leaf of version 1")
    texts = [
        _text(fields["id"], _WHO),
        _text(fields["type"], _TYPE),
        _text(fields["tenant"], _WHO),
        _text(fields["actor"], _WHO),
    ]
    data, personal = fields["data"], fields["personal"]
    if not isinstance(data, dict) or not isinstance(personal, dict):
        raise MalformedInput("leaf-malformed", "without data or commitments")
    return Leaf(
        id=texts[0],
        type=texts[1],
        at=_moment(fields["at"]),
        tenant=texts[2],
        actor=texts[3],
        data=MappingProxyType({_text(name, _NAME): _value(value) for name, value in data.items()}),
        personal=MappingProxyType(
            {_text(name, _NAME): _text(value, _HEX) for name, value in personal.items()}
        ),
    )


def _text(value: object, pattern: re.Pattern[str]) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise MalformedInput("leaf-malformed", "with a field that is not of its form")


def _value(value: object) -> Value:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(value, str) and len(value) <= MAX_STRING:
        return value
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return value
    raise MalformedInput("leaf-malformed", "with a value that is not of its form")


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if render_moment(moment) == value:
                return moment
    except (ValueError, MalformedInput):
        pass  # not a time, or not UTC
    raise MalformedInput("leaf-malformed", "with a time that is not of its form")


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"not canonical: {text[:20]}")


def _integer(text: str) -> int:
    # 20 digits hold 2^53 with room; int() of a long text would be quadratic.
    return int(text) if len(text) <= 20 else _refuse(text)  # noqa: PLR2004  # said above


_decoder = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse, parse_int=_integer)

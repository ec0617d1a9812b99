"""Leaves: the bytes that are hashed into the Merkle tree; they contain commitments instead of personal data.

Not here: which fields there are (`catalogue`), the tree (`merkle`), storage (`log`).

A leaf is canonical JSON: an RFC 8785 (JCS) document with further restrictions, so that an ordinary JSON
writer with sorted keys produces it. Keys are ASCII, so code point order equals the UTF-16 order
of RFC 8785 section 3.2.3; numbers are integers within 2^53; there is no float and no null; strings
contain no control character; `personal` maps a field to the hex of its commitment.

    {"actor":"per_…","at":"2026-11-23T12:00:00.000000Z","data":{…},"id":"evt_…",
     "personal":{"source":"9f…"},"tenant":"ten_…","type":"connection:admitted","v":1}

    field salts = SHAKE-256("doorward field salts" || 0x00 || record salt), 32 bytes for each personal
                  field, in the order of the fields' names
    commitment  = HMAC-SHA-256(field salt, field || 0x00 || value)

Every personal field has a salt of its own, derived from the record's salt, which is not stored. So one field can be
erased (value and salt) while the others stay readable, and a remaining salt opens no other field.
Without its salt a commitment reveals nothing, not even to somebody who can guess the value. The leaf
stays valid, and the field counts as *redacted*.

Standard: RFC 8785 (JSON canonicalisation), RFC 2104 (HMAC), FIPS 202 (SHAKE).
"""

from __future__ import annotations

import dataclasses
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256, shake_256
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from doorward.audit.events import Event, EventType, Retention
from doorward.audit.values import MAX_INTEGER, MAX_STRING, Value, render_moment
from doorward.core.errors import MalformedInput

VERSION = 1
MAX_LEAF_BYTES = 65_536
"""An event within its limits is much smaller; a longer leaf was not written by us."""
SALT_BYTES = 32
"""As long as the digest: RFC 2104 section 3 advises against shorter keys."""

_BLOCK_BYTES = 64
"""The block of SHA-256: `B` of RFC 2104."""
_XOR_IPAD, _XOR_OPAD = bytes(one ^ 0x36 for one in range(256)), bytes(one ^ 0x5C for one in range(256))

_KEYS = frozenset({"actor", "at", "data", "id", "personal", "tenant", "type", "v"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_TYPE = re.compile(r"[a-z][a-z0-9-]{0,63}:[a-z][a-z0-9-]{0,63}", re.ASCII)
_WHO = re.compile(r"[a-z0-9_:]{1,64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class CommitmentOpening(NamedTuple):
    """The value and the salt that open one commitment. They are stored outside of the leaf, so they can be erased.

    `salt` is the salt of this field (32 bytes); `subject` is the id that the value is about. It is a tuple for speed,
    because verifying a log handles millions of them.
    """

    field: str
    value: str
    salt: bytes
    subject: str

    def __repr__(self) -> str:
        """Return a text without the value and the salt, which must not get into a log."""
        return f"CommitmentOpening(field={self.field!r}, subject={self.subject!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEvent:
    """An event as it is recorded: the leaf, and separately the openings of its commitments."""

    id: str
    type: EventType
    at: datetime
    tenant: str
    leaf: bytes
    openings: tuple[CommitmentOpening, ...]
    retention: Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A parsed leaf. `type` is text, because an old version must be able to verify a newer log."""

    id: str
    type: str
    at: datetime
    tenant: str
    actor: str
    data: Mapping[str, Value] = dataclasses.field(hash=False)
    personal: Mapping[str, str] = dataclasses.field(hash=False)


def seal_event(event: Event, salt: bytes) -> SealedEvent:
    """Render an event as a leaf, with the openings of its personal fields.

    Args:
        event: a valid event.
        salt: 32 new random bytes, used for this event only and not stored.

    Raises:
        ValueError: the salt is not 32 bytes: a fault of the caller, not of any input.

    Standard: RFC 8785; RFC 2104; FIPS 202.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError("the salt of an event is 32 bytes")
    stream = derive_salts(salt, len(event.personal))
    openings = tuple(
        CommitmentOpening(
            field=name,
            value=value,
            salt=stream[place * SALT_BYTES : (place + 1) * SALT_BYTES],
            subject=event.subject_of(name),
        )
        for place, (name, value) in enumerate(event.personal.items())
    )
    return SealedEvent(
        id=event.id,
        type=event.type,
        at=event.at,
        tenant=event.tenant,
        leaf=render_leaf(event, openings),
        openings=openings,
        retention=event.retention,
    )


def derive_salts(seed: bytes, count: int) -> bytes:
    """Return `count` salts, one after the other, from 32 random bytes; a longer result begins with a shorter one.

    Standard: FIPS 202 (SHAKE-256).
    """
    return shake_256(b"doorward field salts\x00" + seed).digest(SALT_BYTES * count)


def render_leaf(event: Event, openings: Iterable[CommitmentOpening]) -> bytes:
    """Return the leaf of a valid event with the commitments to its personal fields.

    Standard: RFC 8785; RFC 2104.
    """
    return render_canonical(
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


def commitment(name: str, value: str, salt: bytes) -> str:
    """Return the commitment to one personal value: the hex HMAC-SHA-256 under the field's salt.

    The zero byte separates name and value. No field name contains it, so two pairs never give the same message.
    HMAC is written out as RFC 2104 section 2 has it, because a log has millions of them and `hmac.digest`, which prepares
    OpenSSL's HMAC for each, takes nearly three times as long.
    """
    if len(salt) > _BLOCK_BYTES:  # none of ours: such a key is hashed first
        salt = sha256(salt).digest()
    message = f"{name}\x00{value}".encode("utf-8", "surrogatepass")
    inner = sha256(salt.translate(_XOR_IPAD).ljust(_BLOCK_BYTES, b"\x36") + message).digest()
    return sha256(salt.translate(_XOR_OPAD).ljust(_BLOCK_BYTES, b"\x5c") + inner).hexdigest()


def check_personal(leaf: Leaf, name: str, value: str, salt: bytes) -> bool:
    """Return whether a value and its salt open the commitment in a leaf; False for unknown fields."""
    expected = leaf.personal.get(name)
    return expected is not None and hmac.compare_digest(expected, commitment(name, value, salt))


def opens_leaf(leaf: bytes, name: str, value: str, salt: bytes) -> bool:
    """Do the same as `check_personal` on the bytes of a leaf, without parsing them.

    In canonical JSON no text contains an unescaped quote, so the match is a real pair of the leaf.
    """
    return f'"{name}":"{commitment(name, value, salt)}"'.encode("utf-8", "surrogatepass") in leaf


def count_commitments(leaf: bytes) -> int:
    """Return the number of personal fields of a leaf, without parsing it; 0 for bytes that are not a leaf."""
    start = leaf.rfind(b'"personal":{')  # names and digests contain no quote and no brace
    end = leaf.find(b"}", start)
    return leaf.count(b'":"', start, len(leaf) if end < 0 else end) if start >= 0 else 0


def render_canonical(value: object) -> bytes:
    """Return canonical JSON (module docstring) of dicts with ASCII keys, sequences, text, ints and bools.

    Raises:
        ValueError: a float that is not finite, or text with a lone surrogate.
    """
    return _encode(value).encode()


def parse_canonical(data: bytes, limit: int) -> object:
    """Parse JSON without floats, nulls allowed, at most `limit` bytes.

    Returns:
        dicts, lists, text, ints, bools, None.

    Raises:
        MalformedInput: `json-malformed`.

    Not checked: that `data` is in canonical form.
    """
    if len(data) > limit:
        raise MalformedInput("json-malformed", f"longer than {limit} bytes")
    try:
        return _decoder.decode(data.decode())
    except (ValueError, RecursionError) as error:  # RecursionError: [[[[… is nested too deeply
        raise MalformedInput("json-malformed", "not canonical JSON") from error


def parse_leaf(data: bytes) -> Leaf:
    """Parse a leaf and check that it is in canonical form.

    Args:
        data: at most 65,536 bytes.

    Returns:
        The leaf; rendering its parts gives exactly `data` again.

    Raises:
        MalformedInput: `leaf-malformed`.

    Not checked: that the type and its fields are in the catalogue of this version.
    """
    try:
        fields = parse_canonical(data, MAX_LEAF_BYTES)
        if render_canonical(fields) == data:  # refuses duplicate keys, spaces, other escapes, other orders
            return _leaf_from(fields)
    except (ValueError, RecursionError):
        pass  # an escaped lone surrogate; an array that is nested almost too deeply for the parser
    except MalformedInput as error:
        raise MalformedInput("leaf-malformed", f"the leaf is {error.detail}") from error
    raise MalformedInput("leaf-malformed", "the leaf is not in canonical form")


def _leaf_from(fields: object) -> Leaf:
    # repr and not ==: in Python true equals 1, but in JSON it is another leaf.
    if not isinstance(fields, dict) or fields.keys() != _KEYS or repr(fields["v"]) != repr(VERSION):
        raise MalformedInput("leaf-malformed", f"this is not a leaf of version {VERSION}")
    texts = [
        _text(fields["id"], _WHO),
        _text(fields["type"], _TYPE),
        _text(fields["tenant"], _WHO),
        _text(fields["actor"], _WHO),
    ]
    data, personal = fields["data"], fields["personal"]
    if not isinstance(data, dict) or not isinstance(personal, dict):
        raise MalformedInput("leaf-malformed", "the leaf has no data or no commitments")
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
    raise MalformedInput("leaf-malformed", "a field of the leaf is malformed")


def _value(value: object) -> Value:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(value, str) and len(value) <= MAX_STRING:
        return value
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return value
    raise MalformedInput("leaf-malformed", "a value of the leaf is malformed or too large")


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if render_moment(moment) == value:
                return moment
    except (ValueError, MalformedInput):
        pass  # not a time, or not UTC
    raise MalformedInput("leaf-malformed", "the time of the leaf is malformed or not UTC")


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"not canonical: {text[:20]}")


def _integer(text: str) -> int:
    # 2^53 has 16 digits; int() of a very long text would take quadratic time.
    return int(text) if len(text) <= 20 else _refuse(text)  # noqa: PLR2004  # see above


_decoder = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse, parse_int=_integer)

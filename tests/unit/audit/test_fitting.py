"""Values from outside are changed to fit the fields of an event, visibly."""

from __future__ import annotations

import hashlib

import pytest

from doorward.audit.events import MAX_PUBLIC_CHARACTERS, EventType
from doorward.audit.fitting import fit_data, fit_personal
from doorward.audit.values import MAX_INTEGER

STORED, REFUSED = EventType.EVIDENCE_STORED, EventType.CONNECTION_REFUSED
LIMIT = MAX_PUBLIC_CHARACTERS


def fit(kind: EventType, name: str, value: object) -> object:
    """Return one field, fitted."""
    return fit_data(kind, {name: value}, LIMIT)[name]


@pytest.mark.parametrize("value", ["crl", "!~[]", "a" * 256])
def test_a_token_that_fits_stays(value):
    """A valid token is not changed."""
    assert fit(STORED, "kind", value) == value


@pytest.mark.parametrize(
    ("value", "fitted"),
    [
        ("a b", "a\\x20b"),
        ("a\\x20b c", "a\\x5cx20b\\x20c"),
        ("\r\n", "\\x0d\\x0a"),
        ("é\u202e\ud800", "\\xe9\\u202e\\ud800"),
        ("\U0001f511", "\\U0001f511"),
    ],
)
def test_odd_characters_of_a_token_are_escaped(value, fitted):
    """White space, control characters and other than ASCII are escaped."""
    assert fit(STORED, "said", value) == fitted


def test_a_long_token_keeps_its_beginning_and_its_digest():
    """Two long values stay different: a serial number may have thousands of digits."""
    serial = f"{1 << 16000:x}"
    digest = hashlib.sha256(serial.encode()).hexdigest()
    assert fit(REFUSED, "claimed_serial", serial) == f"{serial[:180]}~sha256:{digest}"
    assert fit(REFUSED, "claimed_serial", "é" * 200).startswith("\\xe9")
    assert fit(REFUSED, "claimed_serial", "") == '""'


@pytest.mark.parametrize(
    ("number", "fitted"),
    [
        (MAX_INTEGER, MAX_INTEGER),
        (MAX_INTEGER + 1, MAX_INTEGER),
        (1 << 159, MAX_INTEGER),
        (-(1 << 63), -MAX_INTEGER),
    ],
)
def test_a_number_beyond_json_is_the_last_of_json(number, fitted):
    """RFC 8785 section 3.2.2.3: the largest number is 2^53 - 1."""
    assert fit(STORED, "number", number) == fitted


def test_texts_are_made_printable():
    """Public and personal texts are made printable."""
    assert fit(STORED, "url", "http://a/\n") == "http://a/\\x0a"
    assert len(fit(STORED, "url", "a" * 3000)) == 2048
    assert fit_personal({"subject": "CN=a\u202eb", "name": "alice"}) == {
        "subject": "CN=a\\u202eb",
        "name": "alice",
    }


def test_a_long_list_says_how_much_is_missing():
    """256 items remain; the last one says how many are left out."""
    items = [f"{one:03}" for one in range(300)]
    assert fit(REFUSED, "reasons", items) == (*items[:255], "+45-more")
    assert fit(REFUSED, "reasons", ["a b", 5]) == ("a\\x20b", 5)


def test_an_event_that_is_too_long_is_shortened():
    """Texts are shortened first, then the longest list."""
    reasons, evidence = ("a",), tuple(f"{one:0200}" for one in range(100))
    data = {"reasons": reasons, "evidence": evidence, "detail": "b" * 2000, "gateway": "gwy_1"}
    fitted = fit_data(REFUSED, data, LIMIT)
    assert (fitted["reasons"], fitted["gateway"]) == (reasons, "gwy_1")
    assert fitted["detail"] == "b" * 127 + "\u2026"
    assert fitted["evidence"] == (*evidence[:24], "+76-more")
    assert fit_data(REFUSED, {"reasons": reasons, "evidence": evidence[:2]}, 10)["evidence"] == ("+2-more",)


def test_no_more_texts_are_shortened_than_needed():
    """If the event fits after the first text was shortened, the second one stays."""
    names = {"group_name": "a" * 300, "inner_name": "b" * 300}
    fitted = fit_data(EventType.GROUP_NESTED, names, 500)
    assert sorted(map(len, fitted.values())) == [128, 300]
    assert fit_data(EventType.GROUP_NESTED, names, 600) == names


def test_unknown_fields_are_not_changed():
    """An unknown field or a value of another kind is not changed, and is refused later."""
    data = {"nonsense": object(), "status": "x", "gateway": 5}
    assert fit_data(REFUSED, data, LIMIT) == data

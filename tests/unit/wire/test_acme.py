"""What ACME servers answer: every form that is allowed, and what is refused of the rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput
from doorward.wire.acme import (
    LONGEST_RETRY,
    MAX_ANSWER_BYTES,
    AcmeStatus,
    ChallengeKind,
    check_acme_url,
    clean_words,
    parse_authorization,
    parse_chain,
    parse_directory,
    parse_order,
    parse_problem,
    parse_renewal_window,
    parse_retry_after,
)
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON

URL = "https://acme.example/directory"
OWN = "https://acme.example"
DIRECTORY = {"newNonce": f"{OWN}/n", "newAccount": f"{OWN}/a", "newOrder": f"{OWN}/o"}
ORDER = {"status": "ready", "authorizations": [f"{OWN}/z"], "finalize": f"{OWN}/f"}
CHALLENGE = {"type": "dns-01", "url": f"{OWN}/c", "token": "t" * 22}
AUTHORIZATION = {
    "status": "pending",
    "identifier": {"type": "dns", "value": "A.Example"},
    "challenges": [CHALLENGE, {"type": "unheard-of-01"}],
}


def raw(value: object) -> bytes:
    """Return JSON."""
    return json.dumps(value).encode()


def test_a_directory() -> None:
    """Renewal information and external accounts are optional."""
    found = parse_directory(raw(DIRECTORY), URL)
    assert (found.new_order, found.renewal_info, found.external_account_required) == (f"{OWN}/o", "", False)
    more = {**DIRECTORY, "renewalInfo": f"{OWN}/r", "meta": {"externalAccountRequired": True}}
    found = parse_directory(raw(more), URL)
    assert (found.renewal_info, found.external_account_required) == (f"{OWN}/r", True)
    assert not parse_directory(raw({**DIRECTORY, "meta": []}), URL).external_account_required


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example/n",
        "https://elsewhere.example/n",
        "https://acme.example:8443/n",
        "https://u@acme.example/n",
        "https://acme.example/n#f",
        "https://acme.example/\r\nX: y",
        "https://acme.example:x/n",
        "https://[acme.example/n",
        "https://acme.example/" + "n" * 2048,
        "/n",
        7,
        None,
    ],
)
def test_no_url_leads_elsewhere(url: object) -> None:
    """A server cannot make this machine call another one."""
    with pytest.raises(MalformedInput, match="newNonce"):
        parse_directory(raw({**DIRECTORY, "newNonce": url}), URL)


def test_a_url_by_itself() -> None:
    """The directory that an operator wrote must be https."""
    assert check_acme_url(URL) == URL
    with pytest.raises(MalformedInput):
        check_acme_url("http://acme.example/directory")


def test_an_order() -> None:
    """With and without certificate and error."""
    found = parse_order(raw(ORDER), URL)
    assert (found.status, found.certificate, found.problem) == (AcmeStatus.READY, "", None)
    more = {**ORDER, "certificate": f"{OWN}/c", "error": {"type": "urn:ietf:params:acme:error:caa"}}
    found = parse_order(raw(more), URL)
    assert found.certificate == f"{OWN}/c"
    assert str(found.problem) == "caa"


@pytest.mark.parametrize(
    "change", [{"status": "odd"}, {"authorizations": []}, {"authorizations": "x"}, {"finalize": ""}]
)
def test_a_malformed_order(change: dict[str, Any]) -> None:
    """Each is refused."""
    with pytest.raises(MalformedInput):
        parse_order(raw({**ORDER, **change}), URL)


def test_an_authorization() -> None:
    """The host is compared in lower case; unknown challenges are left out."""
    found = parse_authorization(raw(AUTHORIZATION), URL)
    assert found.host == "a.example"
    (challenge,) = found.challenges
    assert (challenge.kind, challenge.status) == (ChallengeKind.DNS, AcmeStatus.PENDING)


@pytest.mark.parametrize(
    "change",
    [
        {"identifier": {"type": "ip", "value": "1.2.3.4"}},
        {"identifier": {"type": "dns", "value": 1}},
        {"identifier": "a.example"},
        {"challenges": "x"},
        {"challenges": ["x"]},
        {"challenges": [CHALLENGE] * 33},
        {"challenges": [{**CHALLENGE, "token": "../../etc/passwd"}]},
        {"challenges": [{**CHALLENGE, "token": "short"}]},
        {"challenges": [{**CHALLENGE, "url": "https://elsewhere.example/c"}]},
    ],
)
def test_a_malformed_authorization(change: dict[str, Any]) -> None:
    """A token becomes part of a path, so it is base64url or nothing."""
    with pytest.raises(MalformedInput):
        parse_authorization(raw({**AUTHORIZATION, **change}), URL)


def test_a_problem_can_be_shown() -> None:
    """Its words are printable and cut; what cannot be read is a problem without words."""
    words = {"type": "urn:ietf:params:acme:error:dns", "detail": "a\x1b[2J\n" + "b" * 999, "subproblems": [1]}
    found = parse_problem(raw(words))
    assert found.kind == "dns"
    assert found.words.startswith("a?[2J bbb")
    assert len(found.words) == 400
    nested = {"detail": "first", "subproblems": [{"detail": "second"}, {}]}
    assert str(parse_problem(raw(nested))) == "unknown: first; second"
    assert str(parse_problem(b"<html>")) == "unknown"
    assert str(parse_problem(raw({"type": 1, "detail": 2}))) == "unknown"


def test_an_endless_answer_is_refused() -> None:
    """Also if the transport did not cut it."""
    with pytest.raises(MalformedInput, match="longer"):
        parse_order(b" " * (MAX_ANSWER_BYTES + 1), URL)
    with pytest.raises(MalformedInput, match="too long"):
        parse_chain(b" " * (MAX_ANSWER_BYTES + 1))


def test_a_window() -> None:
    """Any offset; the result is UTC."""
    window = {"start": "2026-11-23T12:00:00Z", "end": "2026-11-24T02:00:00.5+02:00"}
    found = parse_renewal_window(raw({"suggestedWindow": window}))
    assert (found.start, found.end) == (NOON, datetime(2026, 11, 24, 0, 0, 0, 500_000, tzinfo=UTC))


@pytest.mark.parametrize(
    "window",
    [
        None,
        {"start": "2026-11-23T12:00:00Z"},
        {"start": "2026-11-23T12:00:00", "end": "2026-11-24T12:00:00Z"},
        {"start": "2026-11-24T12:00:00Z", "end": "2026-11-23T12:00:00Z"},
        {"start": "0001-01-01T00:00:00+23:59", "end": "2026-11-23T12:00:00Z"},
        {"start": "2" * 99, "end": "x"},
    ],
)
def test_a_malformed_window(window: object) -> None:
    """Then the known renewal time stays."""
    with pytest.raises(MalformedInput):
        parse_renewal_window(raw({"suggestedWindow": window}))


def test_a_chain() -> None:
    """PEM certificates, leaf first, and nothing else."""
    ca = toy_ca()
    leaf = ca.server("a.example")
    assert parse_chain(leaf.pem + b"\n" + ca.pem) == (leaf.der, ca.der)
    for bad in (b"", b"text" + leaf.pem, leaf.pem * 11, leaf.key_pem, leaf.pem.replace(b"MII", b"MIJ", 1)):
        with pytest.raises(MalformedInput):
            parse_chain(bad)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("120", timedelta(seconds=120)),
        (" 86400 ", timedelta(days=1)),
        ("999999999", LONGEST_RETRY),
        ("Mon, 23 Nov 2026 13:00:00 GMT", timedelta(hours=1)),
        ("Mon, 23 Nov 2026 13:00:00 -0000", timedelta(hours=1)),
        ("Mon, 23 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_how_long_to_wait(text: str, found: timedelta | None) -> None:
    """Seconds or a date; never negative, never longer than a month."""
    assert parse_retry_after(text, NOON) == found


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No other exception."""
    for read in (parse_directory, parse_order, parse_authorization):
        with pytest.raises(MalformedInput):
            read(data, URL)
    with pytest.raises(MalformedInput):
        parse_chain(data)
    assert str(parse_problem(data)).isprintable()


@given(st.text(max_size=100))
def test_words_are_printable(text: str) -> None:
    """On one line, and no longer than asked."""
    found = clean_words(text, 20)
    assert found.isprintable()
    assert len(found) <= 20
    parse_retry_after(text, NOON)

"""policy.traffic: how long an application's exchanges may be silent, and how large header fields may be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import diff_documents
from doorward.policy.document import parse_document, render_document
from doorward.policy.traffic import USUAL, Traffic

APP = """\
trust_domain: corp.example
apps:
  chat:
    hosts: [chat.corp.example]
    upstream: http://127.0.0.1:9000
"""


@pytest.mark.parametrize(
    ("text", "traffic"),
    [
        ("timeouts: {idle: 90s}", Traffic(idle=timedelta(seconds=90))),
        ("timeouts: {idle: 10m}", Traffic(idle=timedelta(minutes=10))),
        ("timeouts: {idle: 24h}", Traffic(idle=timedelta(hours=24))),
        ("timeouts: {idle: 3600s}", USUAL),
        ("limits: {headers: 100}", Traffic(headers=100)),
        ("limits: {header_kilobytes: 128}", Traffic(header_kilobytes=128)),
        ("limits: {headers: 2048, header_kilobytes: 256}", Traffic(headers=2048, header_kilobytes=256)),
    ],
)
def test_an_application_says_what_it_needs(text: str, traffic: Traffic) -> None:
    """The canonical document says the same, and a comparison shows what changes."""
    before, document = parse_document(APP), parse_document(f"{APP}    {text}\n")
    assert document.apps[0].traffic == traffic
    assert parse_document(render_document(document)) == document
    changes = [str(one) for one in diff_documents(before, document)]
    assert bool(changes) is (traffic != USUAL)
    assert all(text.partition(":")[0] in one for one in changes)


@pytest.mark.parametrize(
    "text",
    [
        "timeouts: {idle: 0s}",
        "timeouts: {idle: 25h}",
        "timeouts: {idle: 999999h}",
        "timeouts: {idle: 1d}",
        "timeouts: {idle: 1.5h}",
        "timeouts: {idle: []}",
        "timeouts: {answer: 1h}",
        "timeouts: 1h",
        "limits: {headers: 0}",
        "limits: {headers: 2049}",
        "limits: {headers: many}",
        "limits: {headers: []}",
        "limits: {header_kilobytes: 257}",
        "limits: {body: 1}",
    ],
)
def test_another_value_is_a_fault(text: str) -> None:
    """Every limit has a limit."""
    with pytest.raises(ConfigurationError):
        parse_document(f"{APP}    {text}\n")


@pytest.mark.parametrize(
    "values",
    [
        {"idle": timedelta()},
        {"idle": timedelta(days=2)},
        {"idle": timedelta(seconds=1.5)},
        {"headers": 0},
        {"headers": 5000},
        {"header_kilobytes": 0},
        {"header_kilobytes": 1000},
    ],
)
def test_no_value_lies_outside(values: dict[str, object]) -> None:
    """What the door does not support cannot be made."""
    with pytest.raises(ValueError, match="outside"):
        Traffic(**values)  # type: ignore[arg-type]

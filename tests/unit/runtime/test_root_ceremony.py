"""A first start that waits for a root elsewhere: what is kept in between, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doorward.authority.founding_ceremony import FoundingRequest
from doorward.core.errors import IntegrityError, RequestRefused
from doorward.runtime import root_ceremony
from doorward.runtime.layout import Layout
from tests.support.refusals import refused

REQUEST = FoundingRequest(
    root_id="aut_22222222222222222222",
    key_name="issuing-1",
    trust_domain="corp.example",
    status_url="http://pki.corp.example",
    request=b"request",
)


def test_the_request_is_kept_between_the_commands(tmp_path: Path) -> None:
    """While it waits, another first start is refused; after the founding the file means nothing."""
    layout = Layout(tmp_path)
    root_ceremony.refuse_waiting(layout)
    with refused(RequestRefused, "founding-none"):
        root_ceremony.require_waiting(layout)
    layout.founding.write_bytes(root_ceremony.render(REQUEST))
    assert root_ceremony.load(layout) == REQUEST
    root_ceremony.require_waiting(layout)
    with refused(RequestRefused, "founding-requested"):
        root_ceremony.refuse_waiting(layout)
    layout.founded.write_bytes(b"{}")
    root_ceremony.refuse_waiting(layout)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 50_000,
        json.dumps({"root_id": 1}).encode(),
        root_ceremony.render(REQUEST).replace(b'"issuing-1"', b"7"),
        root_ceremony.render(REQUEST).replace(b"cmVxdWVzdA==", b"!"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, data: bytes) -> None:
    """Nothing is founded with a guess."""
    layout = Layout(tmp_path)
    layout.founding.write_bytes(data)
    with refused(IntegrityError, "founding-damaged"):
        root_ceremony.load(layout)

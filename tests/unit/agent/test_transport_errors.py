"""What a failed connection says: a wrong clock is no interception, and a door that does not run is no network."""

from __future__ import annotations

import ssl

import pytest

from doorward.agent import transport
from doorward.agent.link import Link

LINK = Link(host="enroll.corp.example", port=443, token="t" * 43, root_sha256="0" * 64)


@pytest.mark.parametrize(
    ("code", "clock"),
    [(9, True), (10, True), (20, False)],
    ids=["not yet valid", "ended", "unknown issuer"],
)
def test_a_wrong_clock_is_named(code: int, clock: bool) -> None:  # noqa: FBT001
    """The codes are those of openssl verify(1); an unknown issuer may be an interception."""
    error = ssl.SSLCertVerificationError(1, "failed")
    error.verify_code = code
    error.verify_message = "words of OpenSSL"
    refused = transport._not_trusted(LINK, error)
    assert refused.code == "server-not-trusted"
    assert ("clock" in refused.hint) is clock
    assert ("intercept" in refused.hint) is not clock


@pytest.mark.parametrize(("host", "word"), [("enroll.corp.localhost", "doorward up"), ("10.0.0.1", "VPN")])
def test_a_closed_door_of_this_machine_is_no_matter_of_the_network(host: str, word: str) -> None:
    """The next step is to start the door; for another machine it is the way to it."""
    link = Link(host=host, port=8443, token="t" * 43, root_sha256="0" * 64)
    error = transport._unreachable(link, ConnectionRefusedError(111, "Connection refused"), closed=False)
    assert word in error.hint
    assert ("VPN" in error.hint) is not link.is_local

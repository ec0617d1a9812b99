"""The kernel's count of accepted connections is read, or is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.gateway.connections.accepted import count_accepted


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Ip: Forwarding\nIp: 1\nTcp: MaxConn ActiveOpens PassiveOpens\nTcp: -1 17 42\n", 42),
        ("Tcp: ActiveOpens PassiveOpens\nTcp: 17\n", None),
        ("Tcp: ActiveOpens\nTcp: 17\n", None),
        ("Tcp: PassiveOpens\nTcp: -1\n", None),
        ("Tcp: PassiveOpens\n", None),
        ("", None),
        ("Tcp: Päss\nTcp: 1\n", None),
    ],
)
def test_the_count_is_that_of_tcp(tmp_path: Path, text: str, count: int | None) -> None:
    """The row of numbers follows the row of names; anything else is no count."""
    file = tmp_path / "snmp"
    file.write_text(text, encoding="utf-8")
    assert count_accepted(file) == count


def test_without_the_file_the_count_is_unknown(tmp_path: Path) -> None:
    """As in a container that hides it."""
    assert count_accepted(tmp_path / "snmp") is None

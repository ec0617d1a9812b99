"""Completion in bash, which splits words at colons."""

from __future__ import annotations

import pytest
from click.shell_completion import get_completion_class

from doorward.cli.__main__ import main


@pytest.mark.parametrize(
    ("words", "cursor", "offered"),
    [
        ("doorward audit tail --event invitation", 4, {"invitation", "invitation:created"}),
        ("doorward audit tail --event invitation :", 5, {"created", "redeemed", "refused", "voided"}),
        ("doorward audit tail --event invitation : cre", 6, {"created"}),
        ("doorward audit tail --event certificate : issued --res", 7, {"--result"}),
        ("doorward invite alice --hours 5 --da", 5, {"--data"}),
        ("doorward per", 1, {"person"}),
        ("doorward audit ", 2, {"tail", "verify", "export", "key"}),
    ],
)
def test_what_is_offered(words: str, cursor: int, offered: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole words before a colon, the rest of the word behind it; others as ever."""
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(cursor))
    kind = get_completion_class("bash")
    assert kind is not None
    complete = kind(main, {}, "doorward", "_DOORWARD_COMPLETE")
    found = {line.partition(",")[2] for line in complete.complete().splitlines()}
    assert offered <= found

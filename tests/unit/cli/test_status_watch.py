"""`doorward status --watch`: again and again, until a person ends it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from doorward.cli.commands import status as module
from doorward.core.errors import Unavailable
from doorward.runtime import condition
from doorward.runtime.condition_part import Part
from tests.unit.cli.conftest import Site, open_below


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what happens after each round instead of waiting; after the last one, Ctrl-C is pressed."""

    def plan(*between: Callable[[], object]) -> None:
        steps = iter(between)

        def wait(_seconds: float) -> None:
            step = next(steps, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(module.time, "sleep", wait)

    return plan


def test_each_round_is_a_line_of_json(site: Site, rounds: Callable[..., None]) -> None:
    """Until Ctrl-C, with exit code 130; a program reads each line by itself."""
    rounds(lambda: None)
    result = site.run("status", "--watch", "--json")
    assert result.exit_code == 130
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert {one["name"] for one in first["parts"]} >= {"authority", "serve"}
    assert [one["name"] for one in first["parts"]] == [one["name"] for one in second["parts"]]


def test_an_unchanged_condition_is_printed_once(
    site: Site, rounds: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file or pipe: a change is a new block, silence is no change."""
    texts = iter(["one change waits", "one change waits", "all is enforced", "all is enforced"])

    def examine(*_: object) -> list[Part]:
        return [Part(name="gateway", text=next(texts))]

    monkeypatch.setattr(condition, "examine", examine)
    rounds(*[lambda: None] * 3)
    text = site.run("status", "--watch", "5").stdout
    assert [text.count(one) for one in ("every 5 s", "one change waits", "all is enforced")] == [2, 1, 1]


def test_an_error_does_not_end_the_watch(
    site: Site, rounds: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away for a while is a condition like any other."""
    real = condition.examine

    def away(*_: object) -> list[Part]:
        raise Unavailable("database-unavailable", "the database is away", hint="start it: doorward up")

    rounds(
        lambda: monkeypatch.setattr(condition, "examine", away),
        lambda: monkeypatch.setattr(condition, "examine", real),
    )
    result = site.run("status", "--watch", "--json", "--data", str(site.data))
    values = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["parts" in one for one in values] == [True, False, True]
    assert values[1]["error"]["code"] == "database-unavailable"
    assert values[1]["error"]["hint"] == f"start it: doorward up --data {site.data}"
    assert values[1]["well"] is False


def test_each_round_closes_what_it_opened(site: Site, rounds: Callable[..., None]) -> None:
    """A watch goes on for days: two open files more in each round would end it in a quarter of an hour."""
    opened = []

    def look() -> None:
        opened.append(open_below(site.data))

    rounds(look, look)
    result = site.run("status", "--watch", "--json")
    assert len(result.stdout.splitlines()) == 3
    assert opened == [[], []]

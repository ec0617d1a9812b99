"""An error that a person meets says what to do next."""

from __future__ import annotations

import ast
import re

from doorward.cli.groups import walk
from doorward.cli.table import COMMANDS
from tests.support.walkthrough import ROOT

KINDS = {"MalformedInput", "RequestRefused", "NotFound", "Unavailable", "Fault"}
ROOMS = ("cli", "directory", "enrolment", "agent")
"""What these refuse, people read; the other rooms answer programs, too."""

CODES = {
    "certificate-unknown",
    "endpoint-malformed",
    "envoy-would-not-start",
    "evidence-too-much",
    "factor-throttled",
    "group-unknown",
    "key-unknown",
    "name-taken",
    "rollover-open",
}
"""These in every room."""

PROGRAMS = {"facts-malformed", "media-type-wrong", "body-too-large", "renewal-malformed", "check-malformed"}
"""Answers to a program that does not speak the protocol: there is nothing that its user could do."""


_NAMED = re.compile(r"(?:`|: )doorward ([a-z]+(?: [a-z][a-z-]*)*)")


def test_a_command_that_a_message_names_exists() -> None:
    """Each `doorward …` in a text of the program is a command, or a group of commands, with what follows it."""
    commands = {path for path, _ in walk(COMMANDS)}
    groups = {path[:end] for path in commands for end in range(1, len(path))}
    wrong, seen = [], 0
    for path in sorted((ROOT / "src" / "doorward").rglob("*.py")):
        for found in _NAMED.finditer(path.read_text(encoding="utf-8")):
            words = tuple(found[1].split())
            seen += 1
            if words not in groups and not any(words[:end] in commands for end in range(1, len(words) + 1)):
                wrong.append(f"{path.name}: {found[0]}")
    assert wrong == []
    assert seen > 100


def test_an_error_for_people_has_a_next_step() -> None:
    """Each refusal in these rooms, and each of these codes, has a hint."""
    without = []
    for path in sorted((ROOT / "src" / "doorward").rglob("*.py")):
        room = path.relative_to(ROOT / "src" / "doorward").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in KINDS:
                continue
            code = (
                next((one.value for one in node.keywords if one.arg == "code"), None)
                or (node.args or [None])[0]
            )
            if not isinstance(code, ast.Constant) or (room not in ROOMS and code.value not in CODES):
                continue
            names = {one.arg for one in node.keywords}
            if not names & {"hint", None} and len(node.args) < 3 and code.value not in PROGRAMS:
                without.append(f"{path.name}:{node.lineno} {code.value}")
    assert without == []

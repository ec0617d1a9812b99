"""What the agent remembers about one identity between its steps and its restarts: `DIR/agent.json`.

The file is replaced in one step. It holds no secret. If it is missing or cannot be read, the agent starts with what the
certificate says; only a delay that the server asked for is then forgotten.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from doorward.agent.store import read_plain
from doorward.files import replacing

STATE = "agent.json"
_MOST = 1_000_000
_OWN, _FOR_GROUP = 0o600, 0o640


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as it is remembered: code, sentence, and what to do."""

    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """What is remembered. Times are aware, UTC, by the clock of this machine; None means never or not known.

    Args:
        certificate: SHA-256 of the certificate that the rest is about. If the folder holds another one, the refusal,
            the failures and the advice no longer count: another tool renewed it.
        checked_at: the last step of the agent.
        renewed_at: the last renewal.
        not_before: no request before this time: the server asked for it, or it is the pause after a failure.
        failures: renewals that failed since the last one that worked.
        problem: why the last one failed.
        refused: the server's refusal is final.
        report_at: when the next report is due.
        renew_at: when the server wants the renewal, if it said so.
        reason: why the server wants it, its words.
        clock_ahead_seconds: by how much the clock of this machine is ahead of the server's.
        deployed: names of the targets that have this certificate.
        deploy_failures: since the last renewal.
        deploy_at: when the failed ones are tried again.
        deploy_problems: what failed, by target.
        old: certificates that are still in stores and must go from there, as `render_old` writes them.
    """

    certificate: str = ""
    checked_at: datetime | None = None
    renewed_at: datetime | None = None
    not_before: datetime | None = None
    failures: int = 0
    problem: Problem | None = None
    refused: bool = False
    report_at: datetime | None = None
    renew_at: datetime | None = None
    reason: str = ""
    clock_ahead_seconds: float = 0.0
    deployed: tuple[str, ...] = ()
    deploy_failures: int = 0
    deploy_at: datetime | None = None
    deploy_problems: dict[str, str] = field(default_factory=dict)
    old: tuple[str, ...] = ()


def load_state(folder: Path) -> AgentState:
    """Return what is remembered; the empty state if the file is missing or damaged."""
    try:
        return parse_state(read_plain(folder / STATE) or b"{}")
    except OSError:
        return AgentState()


def store_state(folder: Path, state: AgentState) -> None:
    """Replace the file: readable by its owner only, or also by the group that may list the folder.

    Raises:
        OSError: it was not replaced.
    """
    like = folder.stat()
    shared = os.name == "posix" and like.st_mode & stat.S_IRGRP and _may_give(like.st_gid)
    with replacing(folder / STATE, mode=_FOR_GROUP if shared else _OWN) as file:
        file.write(render_state(state))
        if shared:
            os.fchown(file.fileno(), -1, like.st_gid)


def _may_give(group: int) -> bool:
    """Return whether this process can give a file to a group."""
    return os.geteuid() == 0 or group in (os.getegid(), *os.getgroups())


def render_state(state: AgentState) -> bytes:
    """Return a state as JSON."""
    values: dict[str, Any] = {}
    for one in fields(state):
        value = getattr(state, one.name)
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, Problem):
            value = {"code": value.code, "detail": value.detail, "hint": value.hint}
        values[one.name] = value
    return (json.dumps(values, indent=1) + "\n").encode("utf-8")


def parse_state(data: bytes) -> AgentState:
    """Return the state in a file; any member that is not what it should be is as if it were missing."""
    try:
        members = json.loads(data)
    except (ValueError, RecursionError):
        return AgentState()
    if not isinstance(members, dict):
        return AgentState()
    values: dict[str, Any] = {
        one.name: _READERS[one.name](members.get(one.name)) for one in fields(AgentState)
    }
    return AgentState(**{name: value for name, value in values.items() if value is not None})


def _read_time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _read_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _read_count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def _read_number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e12 else None  # noqa: PLR2004 - 30,000 years


def _read_flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_names(value: object) -> tuple[str, ...] | None:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else None


def _read_texts(value: object) -> dict[str, str] | None:
    return (
        {name: text for name, text in value.items() if isinstance(text, str)}
        if isinstance(value, dict)
        else None
    )


def _read_problem(value: object) -> Problem | None:
    texts = _read_texts(value) or {}
    if not {"code", "detail"} <= texts.keys():
        return None
    return Problem(code=texts["code"], detail=texts["detail"], hint=texts.get("hint", ""))


_READERS: dict[str, Callable[[object], object]] = {
    "certificate": _read_text,
    "checked_at": _read_time,
    "renewed_at": _read_time,
    "not_before": _read_time,
    "failures": _read_count,
    "problem": _read_problem,
    "refused": _read_flag,
    "report_at": _read_time,
    "renew_at": _read_time,
    "reason": _read_text,
    "clock_ahead_seconds": _read_number,
    "deployed": _read_names,
    "deploy_failures": _read_count,
    "deploy_at": _read_time,
    "deploy_problems": _read_texts,
    "old": _read_names,
}

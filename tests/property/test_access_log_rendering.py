"""The fast way from a request's line to its leaf gives the bytes of the ordinary way, or leaves the line to it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from doorward.enforcement.envoy.logs import build_request_log
from doorward.gateway.access_log.lines import parse_access_line
from doorward.policy.model import UnixUpstream
from tests.support.access_log import envoy_line
from tests.support.log_lines import joined, parted
from tests.support.rendered_lines import GATEWAY, compare_ways, render

hostile = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1.0,
        7,
        2**53,
        2**70,
        "",
        "-",
        'a"b',
        "a\\b",
        "a\tb",
        "\x7f",
        "ü",
        "\ud800",
        "\u202e",
        "x" * 300,
        "x" * 3000,
        [],
        {"a": 1},
        "per_x",
        "crt_ABC",
        "RL",
        "UF,RL",
        "denied",
        "2026-02-30T00:00:00.000Z",
        "2026-01-01T24:00:00.000Z",
        "2026-01-01T00:00:60.000Z",
        "٢026-01-01T00:00:00.000Z",
        "[2001:db8::1]:7",
        "192.0.2.1",
        ":7",
        "foreign-origin",
        "page",
        "path-refused",
        "path_normalization_failed",
        "via_upstream",
        "doorward_enrol",
    ]
)
names = st.sampled_from([*envoy_line(1), "unknown", "attempts", "grpc"])
changes = st.dictionaries(names, hostile | st.integers() | st.text(max_size=20), max_size=3)
paths = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).map(lambda text: "/" + text)


@given(changes)
@example({})
@example({"status": 403, "cleared": "denied"})
@example({"status": 403, "allowed": "denied"})  # a line of an Envoy of an earlier release
@example({"grpc": 7, "detail": "rbac_access_denied"})
@example({"attempts": 2})
@example({"duration_ms": 1.0})
def test_both_ways_give_the_same_leaf(changed: dict[str, Any]) -> None:
    """Whatever the values of a line are, a leaf of the fast way is the leaf of the ordinary way."""
    compare_ways(json.dumps(parted(envoy_line(1, **changed))).encode())


@given(changes, changes)
@example({}, {"status": 403})
@example({"path": "/other"}, {})
@example({"about": {"status": 200}}, {})
def test_fields_in_another_place_give_the_same_leaf(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """If the object of a line has fields of the line, or the line has fields of the object, the ordinary way decides."""
    line = parted(envoy_line(1))
    about = {**line.pop("about"), **inside}  # type: ignore[dict-item]  # it is an object
    compare_ways(json.dumps({"about": about, **line, **outside}).encode())
    compare_ways(json.dumps({**line, **outside, "about": about}).encode())


@given(changes)
def test_a_line_of_an_earlier_release_goes_the_ordinary_way(changed: dict[str, Any]) -> None:
    """Its fields are side by side, as an Envoy that goes on from an earlier release writes them; its event is the same."""
    fields = envoy_line(1, **changed)
    assert render(json.dumps(fields).encode()) is None
    parts = parse_access_line(json.dumps(fields).encode(), GATEWAY)
    if fields["kind"] == "request":
        assert parts == parse_access_line(json.dumps(parted(fields)).encode(), GATEWAY)


def test_a_number_that_was_taken_opens_no_way_for_another() -> None:
    """What is remembered of 5 is not taken for 5.0, which the ordinary way leaves out."""
    for number in (5, 5.0):
        compare_ways(json.dumps(parted(envoy_line(1, connection=number))).encode())


@given(paths)
def test_any_path_gives_the_same_leaf(path: str) -> None:
    """Whatever the path is, and however JSON writes it, a leaf of the fast way is the leaf of the ordinary way."""
    compare_ways(json.dumps(parted(envoy_line(1, path=path))).encode())
    compare_ways(json.dumps(parted(envoy_line(1, path=path)), ensure_ascii=False).encode())


@given(st.integers(0, 700), st.integers(0, 3), st.binary(max_size=4))
def test_damaged_lines_give_the_same_leaf(place: int, gone: int, put: bytes) -> None:
    """If bytes of a line are replaced by any others, a leaf of the fast way is the leaf of the ordinary way."""
    line = json.dumps(parted(envoy_line(1)), separators=(",", ":")).encode()
    render(line)  # its object is remembered
    compare_ways(line[:place] + put + line[place + gone :])


@given(st.integers(0, 2**53 - 1), st.sampled_from(["GET", "POST"]), st.integers(100, 599))
def test_the_lines_that_envoy_writes_take_the_fast_way(number: int, method: str, status: int) -> None:
    """A line with every field of the log's format is rendered, so that the fast way is not left unnoticed."""
    line = parted(envoy_line(number, method=method, status=status))
    assert set(line) == set(_fields())
    assert set(joined(line)) == set(joined(_fields()))
    assert render(json.dumps(line).encode()) is not None
    compare_ways(json.dumps(line).encode())


def _fields() -> dict[str, Any]:
    log = build_request_log("/x", "app_a", UnixUpstream(path="/s"))
    return dict(log["typed_config"]["log_format"]["json_format"])

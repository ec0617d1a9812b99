"""The watch over upstreams: what it keeps, and that one that hangs holds up nothing."""

from __future__ import annotations

import threading

import pytest

from doorward.gateway.publishing import upstream_watch
from doorward.gateway.publishing.upstream_watch import MOST_TOLD, UpstreamWatch, WatchedUpstream
from doorward.policy.model import HttpUpstream, UnixUpstream


def some(*names: str) -> list[WatchedUpstream]:
    """Return applications on unix sockets."""
    return [WatchedUpstream(name=name, upstream=UnixUpstream(path=f"/run/{name}.sock")) for name in names]


def test_only_those_that_do_not_answer_are_told() -> None:
    """With the reason; one that left the document is forgotten."""
    there = some("a", "b")
    watch = UpstreamWatch(lambda: there, lambda one: "gone" if one.name == "b" else "")
    watch.look()
    assert watch.silent() == {"b": "gone"}
    there.pop()
    watch.look()
    assert watch.silent() == {}


def test_no_more_are_told_than_fit() -> None:
    """The status of a gateway is bounded."""
    watch = UpstreamWatch(lambda: some(*(f"a{number:03}" for number in range(60))), lambda _: "gone")
    watch.look()
    assert len(watch.silent()) == MOST_TOLD


def test_one_that_hangs_is_told_and_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent resolver: the others are told all the same."""
    monkeypatch.setattr(upstream_watch, "PATIENCE_SECONDS", 1.0)
    go, asked = threading.Event(), []

    def probe(one: WatchedUpstream) -> str:
        asked.append(one.name)
        if one.name == "named":
            go.wait(60)
        return ""

    named = WatchedUpstream(name="named", upstream=HttpUpstream(host="app.example", port=1))
    watch = UpstreamWatch(lambda: [named, *some("a")], probe)
    watch.look()
    watch.look()
    assert watch.silent() == {
        "named": "DNS: no answer about app.example, or app.example itself does not answer"
    }
    assert sorted(asked) == ["a", "a", "named"]
    go.set()


def test_a_probe_that_fails_is_no_answer() -> None:
    """A bug in the probe does not count as an answer."""

    def probe(_one: WatchedUpstream) -> str:
        raise RuntimeError("a defect")

    watch = UpstreamWatch(lambda: some("a"), probe)
    watch.look()
    assert watch.silent() == {"a": "it could not be probed, see the log"}


def test_applications_with_one_upstream_are_probed_together() -> None:
    """A thousand applications behind one proxy cost one probe, and all of them are told about."""
    asked: list[str] = []

    def probe(one: WatchedUpstream) -> str:
        asked.append(one.name)
        return "gone"

    shared = HttpUpstream(host="proxy.example", port=1)
    watch = UpstreamWatch(
        lambda: [WatchedUpstream(name=f"a{one}", upstream=shared) for one in range(9)], probe
    )
    assert watch.look() == 1
    assert asked == ["a0"]
    assert set(watch.silent()) == {f"a{one}" for one in range(9)}

"""policy.model: impossible values cannot be made, and selectors select principals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.policy.model import (
    AppPolicy,
    Document,
    Effect,
    HttpUpstream,
    RequestPattern,
    Residual,
    Rule,
    UnixUpstream,
)
from doorward.policy.normalisation import NormalisedPath
from doorward.policy.paths import NO_OWNER, PathPattern
from doorward.policy.selectors.table import Selector, select
from doorward.policy.subject import Subject, Truth
from tests.support import records

ALICE = records.principal("alice", tenant="ten_1", id="per_1", groups=("tellers",))
UPSTREAM = HttpUpstream(host="127.0.0.1", port=9000)
RULE = Rule(name="r", effect=Effect.ALLOW, selector=select({"groups": frozenset({"tellers"})}))
APP = AppPolicy(name="pay", hosts=("pay.test",), upstream=UPSTREAM, rules=(RULE,))


def test_upstreams_as_written() -> None:
    """An upstream renders as the document writes it, IPv6 in brackets."""
    assert UPSTREAM.url == "http://127.0.0.1:9000"
    assert HttpUpstream(host="::1", port=80).url == "http://[::1]:80"
    assert UnixUpstream(path="/run/pay.sock").url == "unix:///run/pay.sock"


@pytest.mark.parametrize(
    ("selector", "why"),
    [
        (select({"persons": frozenset({"alice", "bob"})}), ""),
        (select({"groups": frozenset({"tellers"}), "kind": frozenset({"person"})}), ""),
        (select({"persons": frozenset({"bob"})}), "person alice is not person bob"),
        (select({"devices": frozenset({"alice"})}), "person alice is not device alice"),
        (select({"groups": frozenset({"b", "a"})}), "alice is not in a or b"),
        (select({"kind": frozenset({"device"})}), "alice is a person, not device"),
        (
            select({"persons": frozenset({"alice"}), "groups": frozenset({"ops"})}),
            "alice is not in ops",
        ),
    ],
)
def test_selection(selector: Selector, why: str) -> None:
    """Every key must hold, any entry of a key suffices, and the reason names the key that does not."""
    subject = Subject(principal=ALICE)
    assert selector.explain(subject) == why
    assert selector.judge(subject) is (Truth.FALSE if why else Truth.TRUE)


def test_impossible_selectors() -> None:
    """A selector without a key, or one that never matches, cannot be made."""
    with pytest.raises(ValueError, match="everybody"):
        select({})
    with pytest.raises(ValueError, match="at once"):
        select({"persons": frozenset({"a"}), "devices": frozenset({"b"})})
    with pytest.raises(ValueError, match="at once"):
        select({"persons": frozenset({"a"}), "kind": frozenset({"device"})})


def test_selector_text_tells_keys_apart() -> None:
    """The same name under another key is another selector, and order does not matter."""
    names = frozenset({"x", "y"})
    texts = {select({word: names}).text for word in ("persons", "devices", "services", "groups")}
    assert len(texts) == 4
    assert select({"groups": frozenset(["b", "a"])}).text == "groups=[a, b]"


def test_residual() -> None:
    """A residual holds if method and path hold; without methods, any method holds."""
    here = NormalisedPath("/a", ("a",))
    one = Residual(methods=frozenset({"GET"}), paths=(PathPattern("/b"), PathPattern("/a")))
    assert one.matches_method("GET", Effect.ALLOW)
    assert not one.matches_method("get", Effect.ALLOW)
    assert one.matches_path(here, "ann")
    assert not one.matches_path(NormalisedPath("/c", ("c",)), "ann")
    assert Residual().matches_method("ANY", Effect.ALLOW)
    assert one.patterns == {RequestPattern("GET", "/a"), RequestPattern("GET", "/b")}
    assert Residual().patterns == {RequestPattern("*", "/**")}
    mine = Residual(paths=(PathPattern("/{principal}/**"), PathPattern("/b")))
    assert mine.matches_path(here, "a")
    assert not mine.matches_path(here, "b")
    assert mine.patterns_of("ann") == {RequestPattern("*", "/ann/**"), RequestPattern("*", "/b")}
    assert mine.patterns_of(NO_OWNER) == {RequestPattern("*", "/b")}


def test_impossible_residuals() -> None:
    """A residual that never holds cannot be made."""
    with pytest.raises(ValueError, match="methods"):
        Residual(methods=frozenset())
    with pytest.raises(ValueError, match="paths"):
        Residual(paths=())


def test_impossible_documents() -> None:
    """Hosts and names cannot be shared, and an application cannot be without a host."""
    with pytest.raises(ValueError, match="host"):
        replace(APP, hosts=())
    with pytest.raises(ValueError, match="share a name"):
        replace(APP, rules=(RULE, RULE))
    with pytest.raises(ValueError, match="may contain"):
        replace(APP, public=(PathPattern("/of/{principal}"),))
    with pytest.raises(ValueError, match="share a host"):
        Document(trust_domain="a.test", apps=(APP, replace(APP, name="other")))
    with pytest.raises(ValueError, match="share a name"):
        Document(trust_domain="a.test", apps=(APP, replace(APP, hosts=("other.test",))))


def test_application_by_name() -> None:
    """A document gives an application by its name, or None."""
    document = Document(trust_domain="a.test", apps=(APP,))
    assert document.app("pay") is APP
    assert document.app("other") is None

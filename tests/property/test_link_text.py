"""Links are total, and text and value are one to one."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from doorward.agent.link import Link, parse_link, render_link
from doorward.core.errors import MalformedInput

labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join) | st.ip_addresses().map(str)
links = st.builds(
    Link,
    host=hosts,
    port=st.integers(1, 65535),
    token=st.from_regex(r"[A-Za-z0-9_-]{22,128}", fullmatch=True),
    root_sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)


@given(links)
def test_every_link_comes_back(link: Link) -> None:
    """Every link that is written is parsed as the same link."""
    assert parse_link(render_link(link)) == link


@given(links, st.integers(0, 400), st.text(max_size=3))
def test_a_damaged_link_is_a_link_or_malformed(link: Link, at: int, other: str) -> None:
    """Any damage gives a link that is read back unchanged from its text, or an error of ours."""
    text = render_link(link)
    with contextlib.suppress(MalformedInput):
        damaged = parse_link(text[:at] + other + text[at + 1 :])
        assert parse_link(render_link(damaged)) == damaged


@given(st.text() | st.text(max_size=80).map(lambda tail: "https://a.example/join#" + tail))
def test_any_text_is_a_link_or_malformed(text: str) -> None:
    """No text raises anything else."""
    with contextlib.suppress(MalformedInput):
        parse_link(text)

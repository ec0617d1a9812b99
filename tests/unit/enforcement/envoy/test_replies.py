"""Envoy's own replies with pages: which filter, which words, and that a page is text and no format."""

from __future__ import annotations

import re
from typing import Any

import pytest

from doorward.enforcement.envoy.replies import INCIDENT, WHO, build_local_replies
from doorward.enforcement.envoy.reply_cases import CONDITION_CASES, PAGE_STATES, STATUS_CASES
from doorward.enforcement.plan import Placeholder, ReplyPages

LANGUAGES = ("en", "de")
PAGE = (
    f"<p>100 % of {Placeholder.APPLICATION.value}, {Placeholder.INCIDENT.value}, {Placeholder.WHO.value}</p>"
)
PAGES = ReplyPages(
    languages=LANGUAGES,
    html={(state, language): f"<i>{language}</i>{PAGE}" for state in PAGE_STATES for language in LANGUAGES},
    words={
        state: (f"Title of {state}", f"{Placeholder.APPLICATION.value} at 100 %") for state in PAGE_STATES
    },
    policy="default-src 'none'",
    problems="/_doorward/problems/",
)


def mappers(name: str = "pay") -> list[dict[str, Any]]:
    """The replies of a door with pages."""
    return build_local_replies(name, (), PAGES)["mappers"]


def pages_of(every: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are pages."""
    return [one for one in every if "html" in one["body_format_override"].get("content_type", "")]


def test_each_state_has_a_page_in_each_language_before_its_other_forms() -> None:
    """Of each case first the pages, the default language last, then JSON, then the sentence."""
    kinds = [one["body_format_override"].get("content_type", "none").partition(";")[0] for one in mappers()]
    with_page = sum(bool(case.state) for case in (*CONDITION_CASES, *STATUS_CASES))
    assert kinds.count("text/html") == 2 * with_page + 1  # 431 once more
    assert kinds.count("application/problem+json") == len(CONDITION_CASES) + len(STATUS_CASES)
    first = kinds.index("text/html")
    assert kinds[first : first + 4] == ["text/html", "text/html", "application/problem+json", "text/plain"]


def test_a_page_is_text_and_only_our_tokens_are_formatters() -> None:
    """A percent sign of the page is doubled, and so is one of the application's name, which is escaped as well."""
    body = pages_of(mappers('<b>&"%REQ(COOKIE)%'))[0]["body_format_override"]["text_format_source"][
        "inline_string"
    ]
    assert "100 %% of &lt;b&gt;&amp;&quot;%%REQ(COOKIE)%%" in body
    assert INCIDENT in body
    assert WHO in body
    assert not re.search("[\ue000\ue001]", body)


def test_a_page_is_not_kept_and_runs_nothing_of_its_own() -> None:
    """Cache-Control and the policy are set on each."""
    for one in pages_of(mappers()):
        fields = {two["header"]["key"]: two["header"]["value"] for two in one["headers_to_add"]}
        assert fields == {"cache-control": "no-store", "content-security-policy": "default-src 'none'"}


def test_a_problem_document_has_type_title_detail_and_incident() -> None:
    """RFC 9457, in the words of the page."""
    every = [one["body_format_override"].get("json_format", {}) for one in mappers()]
    one = next(fields for fields in every if fields.get("type", "").endswith("/not-allowed"))
    assert one == {
        "type": "/_doorward/problems/not-allowed",
        "title": "Title of not-allowed",
        "status": "%RESPONSE_CODE%",
        "detail": "pay at 100 %%",
        "incident": INCIDENT,
        "request": "%REQ(X-REQUEST-ID):64%",
    }


def test_nothing_of_the_request_but_its_id_is_in_a_reply() -> None:
    """A reply repeats nothing that the client sent: no path, no header except the door's own id, no metadata."""
    allowed = ("%RESPONSE_CODE%", "%REQ(X-REQUEST-ID):64%", INCIDENT, "%START_TIME(%Y-%m-%dT%H:%M:%SZ)%")
    allowed += (WHO,)
    for one in mappers("100 % pay"):
        body = one["body_format_override"]
        texts = [
            *body.get("json_format", {}).values(),
            body.get("text_format_source", {}).get("inline_string", ""),
        ]
        for text in texts:
            for formatter in allowed:
                text = text.replace(formatter, "")  # noqa: PLW2901
            assert "%" not in text.replace("%%", "")


def test_without_pages_browsers_read_sentences() -> None:
    """A plan without pages has none of them."""
    assert pages_of(build_local_replies("pay")["mappers"]) == []


def test_a_page_has_a_largest_size_and_a_known_language() -> None:
    """Each door holds a copy of each page."""
    for html in ({("x", "en"): "a" * 5000}, {("x", "fr"): "a"}):
        with pytest.raises(ValueError, match=r"page|language"):
            ReplyPages(languages=("en",), html=html, words={}, policy="", problems="")

"""`paths: {encoded_slash: keep}`: kept paths, refused paths, and how rules match them."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from doorward.core.entities import TENANT, Outcome
from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import diff_documents
from doorward.policy.decision import Request, decide
from doorward.policy.document import parse_document, render_document
from doorward.policy.model import AppPolicy, Document, UnixUpstream
from doorward.policy.normalisation import (
    KEPT_SLASH_REGEXES,
    NormalisedPath,
    PathRefused,
    normalise,
)
from doorward.policy.paths import PathPattern
from doorward.policy.subject import Subject
from tests.support import records

HEAD = "trust_domain: corp.example\napps:\n  git:\n    hosts: [git.corp.example]\n    upstream: unix:///run/git.sock\n"
KEEP = "    paths: {encoded_slash: keep}\n"
ALICE = records.principal("alice", id="per_1", groups=("dev",))

KEPT = [
    ("/api/v4/projects/group%2Fproject/issues", ("api", "v4", "projects", "group%2Fproject", "issues")),
    ("/api/v4/projects/group%2fproject", ("api", "v4", "projects", "group%2Fproject")),
    ("/api/queues/%2F/mail", ("api", "queues", "%2F", "mail")),
    ("/@scope%2fname", ("@scope%2Fname",)),
    ("/a%2Fb%2Fc/%40", ("a%2Fb%2Fc", "@")),
    ("/a/../b%2Fc?x=%2F%2F..", ("b%2Fc",)),
    ("/a%2F...", ("a%2F...",)),
    ("/%61%2F%7e", ("a%2F~",)),
]
REFUSED = [
    *("/a%2F..%2Fb", "/a%2f..", "/..%2Fa", "/.%2Fa", "/a/.%2F", "/a%2F.", "/a%2F./b", "/a%2F%2e%2e%2Fb"),
    *("/a%2F%2Fb", "/%2f%2F", "/a%5Cb", "/a%2F..%5cb", "/a%2F..;/b", "/a%2F..%3Bb", "/a;%2Fb"),
    *("/a%252Fb", "/a%2F%252e%252e%2Fb", "/a%2F%25%32e", "/a%255cb", "/a%2F%00", "/a%2F%zz", "/a%2F%ff"),
]


@pytest.mark.parametrize(("raw", "segments"), KEPT)
def test_an_encoded_slash_is_data(raw: str, segments: tuple[str, ...]) -> None:
    """RFC 3986 section 2.2: it is part of its segment; without the option it is refused (record 0020)."""
    path = normalise(raw, keep_slashes=True)
    assert isinstance(path, NormalisedPath)
    assert path.segments == segments
    assert normalise(path.text, keep_slashes=True) == path
    assert not any(re.fullmatch(regex, path.text) for regex in KEPT_SLASH_REGEXES)
    assert isinstance(normalise(raw), PathRefused)


@pytest.mark.parametrize("raw", REFUSED)
def test_what_would_climb_is_refused(raw: str) -> None:
    """If one or two decodings give `/../`, `/./`, `//`, a backslash or `..;`, the path gets 400, for any rules."""
    assert isinstance(normalise(raw, keep_slashes=True), PathRefused)


@pytest.mark.parametrize("first", ["", "a", ".", "..", "%2e", "..;", "\\", "%5c", "%252e", "%25"])
@pytest.mark.parametrize("last", ["", "a", ".", "..", "%2E", "..;", "\\", "%5C", "%252F", "%2F"])
@pytest.mark.parametrize("slash", ["%2f", "%2F", "%2F%2f"])
def test_nothing_kept_decodes_to_a_climb(first: str, slash: str, last: str) -> None:
    """Every accepted path is harmless after one and after two decodings of its kept segment."""
    path = normalise(f"/x/{first}{slash}{last}/y", keep_slashes=True)
    if isinstance(path, NormalisedPath):
        for raw in path.text.split("/"):
            for text in (unquote(raw), unquote(unquote(raw))):
                if "%2f" in raw.lower():
                    assert {".", ".."}.isdisjoint(text.split("/"))
                    assert not any(bad in text for bad in ("//", "\\", "..;"))


class TestRules:
    """The rule language sees the undecoded segment."""

    @pytest.mark.parametrize(
        ("pattern", "raw", "matches"),
        [
            ("/p/*", "/p/a%2Fb", True),
            ("/p/a%2Fb", "/p/a%2fb", True),
            ("/p/a%2Fb/**", "/p/a%2Fb/c", True),
            ("/p/a/**", "/p/a%2Fb", False),
            ("/p/a%2Fb", "/p/a/b", False),
            ("/p/*/b", "/p/a%2Fb", False),
            ("/p/x%2Fy@z", "/p/x%2Fy%40z", True),
        ],
    )
    def test_patterns(self, pattern: str, raw: str, *, matches: bool) -> None:
        """`*` is one segment, kept slash and all; a literal `%2F` covers both cases."""
        path = normalise(raw, keep_slashes=True)
        assert isinstance(path, NormalisedPath)
        one = PathPattern(pattern)
        assert one.matches(path) is matches
        assert any(_form_matches(form, path.text) for form in one.forms()) is matches

    def test_the_judge_knows_the_application_s_choice(self) -> None:
        """One rule, two applications: allowed if the slash is kept, 400 if not."""
        text = HEAD + "    rules:\n      - {allow: {groups: [dev]}, to: {paths: ['/p/*']}}\n"
        for document, outcome in ((text + KEEP, Outcome.GOOD), (text, Outcome.BAD)):
            (app,) = parse_document(document).apps
            decision = decide(
                app, TENANT, "app_1", Subject(principal=ALICE), Request(method="GET", raw_path="/p/a%2fb")
            )
            assert decision.outcome is outcome
            assert (decision.path_refused is None) is (outcome is Outcome.GOOD)


def _form_matches(form: object, path: str) -> bool:
    text = getattr(form, "text")  # noqa: B009
    kind = type(form).__name__
    if kind == "Exact":
        return bool(path == text)
    return path.startswith(text) if kind == "Prefix" else re.fullmatch(text, path) is not None


class TestDocument:
    """The key in the document."""

    def test_it_reads_back(self) -> None:
        """Kept, refused by name, and left out."""
        kept = parse_document(HEAD + KEEP)
        assert kept.apps[0].keeps_slashes
        assert parse_document(render_document(kept)) == kept
        assert not parse_document(HEAD + KEEP.replace("keep", "refuse")).apps[0].keeps_slashes
        plain = parse_document(HEAD)
        assert [str(one) for one in diff_documents(plain, kept)] == ["+ apps.git.paths.encoded_slash: keep"]

    @pytest.mark.parametrize(
        ("lines", "code", "key"),
        [
            ("    paths: {encoded_slash: decode}\n", "unknown-value", "apps.git.paths.encoded_slash"),
            ("    paths: {encoded_slash: [keep]}\n", "wrong-type", "apps.git.paths.encoded_slash"),
            ("    paths: {slash: keep}\n", "unknown-key", "apps.git.paths.slash"),
            ("    paths: {}\n", "missing-key", "apps.git.paths"),
            (KEEP + "    public: ['/share/**']\n", "public-kept-slash", "apps.git.paths"),
            (
                "    rules:\n      - {allow: {groups: [dev]}, to: {paths: ['/a%2Fb']}}\n",
                "path-pattern",
                "apps.git",
            ),
            ("    public: ['/a%2Fb']\n", "path-pattern", "apps.git"),
            (
                KEEP + "    rules:\n      - {allow: {groups: [dev]}, to: {paths: ['/a%2fb']}}\n",
                "path-pattern",
                "apps.git.rules[0].to.paths",
            ),
            (
                KEEP + "    rules:\n      - {allow: {groups: [dev]}, to: {paths: ['/a%2F..']}}\n",
                "path-pattern",
                "apps.git.rules[0].to.paths",
            ),
        ],
    )
    def test_faults(self, lines: str, code: str, key: str) -> None:
        """Each has its place."""
        with pytest.raises(ConfigurationError) as caught:
            parse_document(HEAD + lines)
        assert (code, key) in [(one.code, one.key) for one in caught.value.faults]

    def test_a_policy_cannot_say_both(self) -> None:
        """The constructor refuses it, too."""
        with pytest.raises(ValueError, match="public"):
            AppPolicy(
                name="git",
                hosts=("git.test",),
                upstream=UnixUpstream(path="/run/git.sock"),
                public=(PathPattern("/share"),),
                keeps_slashes=True,
            )
        assert Document(trust_domain="corp.example").apps == ()

"""How pages are made: templates, languages, static files."""

from __future__ import annotations

import re

import pytest
from jinja2 import UndefinedError

from doorward.core.errors import MalformedInput, NotFound, RequestRefused, Unavailable
from doorward.web.look.assets import BUILT_IN_ASSETS, ICONS, answer_asset
from doorward.web.look.catalogues import CATALOGUES, build_translations, parse_catalogue
from doorward.web.look.error_texts import ERROR_TEXTS, render_error_line, render_error_texts
from doorward.web.look.languages import choose_language
from doorward.web.look.rendering import TEMPLATES, Look, page_policy, translate
from tools.messages import catalogue_files, find_messages, missing, unused

ORIGIN = "https://enroll.corp.example"
HEADER = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'


def test_a_page_speaks_the_language_that_is_asked_for() -> None:
    """The same template in two languages, each said in its html element."""
    look = Look()
    english = look.render("join.html", {"origin": ORIGIN}, "en")
    german = look.render("join.html", {"origin": ORIGIN}, "de")
    assert '<html lang="en">' in english
    assert "Get your certificate" in english
    assert '<html lang="de">' in german
    assert "Holen Sie Ihr Zertifikat" in german


def test_values_are_escaped() -> None:
    """Values from outside are escaped in a page, also within a translation."""
    page = Look().render("join.html", {"origin": "https://<script>"}, "de")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_missing_value_is_an_error() -> None:
    """A template that names what its page does not give is not shown half empty."""
    with pytest.raises(UndefinedError):
        Look().render("join.html", {}, "en")


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_no_template_holds_script_or_style(name: str) -> None:
    """The policy of pages would block them: no page has an inline style, script or event handler."""
    text = TEMPLATES[name].lower()
    assert " style=" not in text
    assert "<style" not in text
    assert "javascript:" not in text
    assert not any(
        f" on{event}=" in text for event in ("click", "load", "submit", "error", "change", "input")
    )
    assert text.count("<script") == text.count('<script src="{{ static(') + text.count(
        '<script type="module" src="{{ static('
    )


def test_the_policy_lets_nothing_of_the_page_itself_run() -> None:
    """No exception for inline code or for another site."""
    policy = page_policy()
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "require-trusted-types-for 'script'" in policy


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,en;q=0.5", "de"),
        ("en;q=0.3, de;q=0.8", "de"),
        ("fr, de;q=0.1", "de"),
        ("de;q=0", "en"),
        ("tlh, *", "en"),
        ("de;q=2,;;;", "en"),
        (", ".join(["fr"] * 20) + ", de", "en"),
    ],
)
def test_the_language_is_what_the_browser_asks_for(accepted: str, language: str) -> None:
    """RFC 9110 section 12.5.4: the highest weight of those that we have; a bounded number of ranges is read."""
    assert choose_language(accepted) == language


def test_a_choice_wins_over_the_browser() -> None:
    """The first choice that we have; an unknown one is passed over."""
    assert choose_language("en", "", "xx", "de") == "de"


def test_a_catalogue_has_escapes_plurals_and_long_texts() -> None:
    """Strings of several lines, escaped quotation marks, two forms; what is not translated is left out."""
    messages = parse_catalogue(
        HEADER + 'msgid "a \\"b\\"\\n"\n"c"\nmsgstr "d\\n"\n"e"\n\n# no\nmsgid "one"\nmsgid_plural "many"\n'
        'msgstr[0] "eins"\nmsgstr[1] "viele"\nmsgid "later"\nmsgstr ""\n#~ msgid "old"\n'
    )
    assert messages['a "b"\nc'] == "d\ne"
    assert "later" not in messages
    translations = build_translations(messages)
    assert [translations.ngettext("one", "many", number) for number in (1, 2)] == ["eins", "viele"]
    assert translations.gettext("later") == "later"


@pytest.mark.parametrize(
    "text", ["x", '"string before a keyword"', 'msgid "open', 'msgstr "a"\n', 'msgid "a" b']
)
def test_a_malformed_catalogue_is_refused_with_its_line(text: str) -> None:
    """A file that is no catalogue stops at the import and not on a page."""
    with pytest.raises(MalformedInput, match="line"):
        parse_catalogue(text)


def test_a_catalogue_has_a_largest_size() -> None:
    """Two million characters."""
    with pytest.raises(MalformedInput, match="too large"):
        parse_catalogue("#" * 2_000_001)


def test_words_of_python_are_translated_with_their_values() -> None:
    """`translate` fills values in after the translation."""
    assert translate("Root certificate", "de") == "Wurzelzertifikat"
    assert translate("no such %(thing)s", "de", thing="message") == "no such message"


def test_every_language_names_itself() -> None:
    """There are English and German."""
    assert {"en", "de"} <= set(CATALOGUES)


def test_a_static_file_is_asked_for_with_its_digest() -> None:
    """A changed file has another address, so that browsers may keep it."""
    look = Look(base="/_doorward/static")
    version = BUILT_IN_ASSETS["look.css"].version
    assert look.static("look.css") == f"/_doorward/static/look.css?v={version}"
    answer = answer_asset(look.assets, "look.css")
    assert answer.headers["etag"] == f'"{version}"'
    assert "max-age" in answer.headers["cache-control"]


def test_what_is_no_static_file_is_not_looked_up() -> None:
    """Names are keys of a table, not paths."""
    with pytest.raises(NotFound):
        answer_asset(BUILT_IN_ASSETS, "../app.py")


def test_pages_stay_small() -> None:
    """Style and icons of a page of the door are within its 30 kB."""
    assert len(BUILT_IN_ASSETS["look.css"].body) < 16_000
    assert all(len(one) < 800 for one in ICONS.values())


@pytest.mark.parametrize("language", sorted(catalogue_files()))
def test_no_message_lacks_a_translation(language: str) -> None:
    """`python -m tools.messages --write` adds what is missing to the file, with an empty text to be filled."""
    assert missing(catalogue_files()[language]) == []


@pytest.mark.parametrize("language", sorted(catalogue_files()))
def test_no_translation_is_left_over(language: str) -> None:
    """What no page says any more is taken out; values and elements of a message are kept in its translation."""
    file = catalogue_files()[language]
    assert unused(file) == []
    for message, text in parse_catalogue(file.read_text("utf-8")).items():
        if message and "\0" not in message:
            for pattern in (r"%\(\w+\)s", r"</?[a-z]+"):
                assert sorted(set(re.findall(pattern, message))) == sorted(set(re.findall(pattern, text))), (
                    text
                )


def test_every_marked_message_is_found() -> None:
    """Messages of templates, of `mark`, of `translate` and of plural forms."""
    found = find_messages()
    assert ("Root certificate", "") in found
    assert ("Your certificate has ended", "") in found
    assert ("%(num)d day ago", "%(num)d days ago") in found


@pytest.mark.parametrize("code", sorted(ERROR_TEXTS))
def test_a_refusal_is_told_in_the_readers_language(code: str) -> None:
    """By its code; the words differ from those of the error, which are for programs."""
    german, english = (render_error_line(RequestRefused(code, "x"), language) for language in ("de", "en"))
    assert german != english
    assert english.endswith((".", "!"))


def test_an_unknown_refusal_is_told_in_its_own_words() -> None:
    """As sentences; a wait has its length."""
    assert render_error_texts(RequestRefused("odd-code", "this is odd", hint="do that"), "de") == (
        "This is odd",
        "Do that",
    )
    for seconds, words in ((1, "1 second."), (30, "30 seconds."), (91, "2 minutes.")):
        wait = Unavailable("factor-throttled", "wait", retry_after_seconds=seconds)
        assert render_error_texts(wait, "en")[1].endswith(words)

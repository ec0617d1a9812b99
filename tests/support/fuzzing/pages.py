"""Targets of the fuzzer in what pages are made of: catalogues, languages."""

from __future__ import annotations

from doorward.web.look.catalogues import CATALOGUES, build_translations, parse_catalogue
from doorward.web.look.languages import choose_language
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target

_CATALOGUE = b"""# a comment
msgid ""
msgstr ""
"Language: de\\n"
"Content-Type: text/plain; charset=UTF-8\\n"

msgid "One \\"word\\""
msgstr "Ein \\"Wort\\""

msgid "one"
msgid_plural "%(num)d"
msgstr[0] "eins"
msgstr[1] "%(num)d"
"""


def _catalogue() -> Harness:
    def judge(data: bytes) -> object:
        messages = parse_catalogue(data.decode("utf-8", "replace"))
        messages[""] = "Content-Type: text/plain; charset=UTF-8\n"
        translations = build_translations(messages)
        for key, text in messages.items():
            if key and "\0" not in key:
                assert translations.gettext(key) == text.partition("\0")[0]
        return len(messages)

    return Harness(seeds=[_CATALOGUE], judge=judge)


def _languages() -> Harness:
    def judge(data: bytes) -> object:
        language = choose_language(data.decode("latin-1"))
        assert language in CATALOGUES
        return language

    return Harness(seeds=[b"de-DE,de;q=0.9,en;q=0.5", b"fr, *;q=0.1"], judge=judge)


PAGE_TARGETS = (
    Target(
        name="catalogue",
        covers=("web.look.catalogues.parse_catalogue",),
        shape=Shape.TEXT,
        prepare=_catalogue,
    ),
    Target(
        name="languages",
        covers=("web.look.languages.choose_language",),
        shape=Shape.TEXT,
        prepare=_languages,
    ),
)

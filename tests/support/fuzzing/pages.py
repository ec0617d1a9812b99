"""Targets of the fuzzer in what pages are made of: catalogues, languages, logos, claimed certificates."""

from __future__ import annotations

import json
import urllib.parse

from doorward.web.look.catalogues import CATALOGUES, build_translations, parse_catalogue
from doorward.web.look.languages import choose_language
from doorward.web.look.logo import parse_logo
from doorward.web.pages.unverified_certificate import MAX_NAME_CHARACTERS, parse_unverified_certificate
from doorward.web.portal.renewing import parse_renewal
from tests.support.certificates.issuing import toy_ca
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


def _claimed() -> Harness:
    good = toy_ca().pem.decode()

    def judge(data: bytes) -> object:
        text = data.decode("latin-1")
        claimed = parse_unverified_certificate(text)
        if claimed is None:
            return None
        assert len(claimed.issuer_name) <= MAX_NAME_CHARACTERS
        assert len(claimed.serial_end) <= 8
        return claimed.serial_end

    return Harness(seeds=[urllib.parse.quote(good).encode(), b"-", b""], judge=judge)


_SVG = b"""<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 8 8"><defs><path id="a"
d="M0 0h8"/></defs><use xlink:href="#a" style="fill:url(#b)"/><text onclick="x()">a</text></svg>"""


def _logo() -> Harness:
    def judge(data: bytes) -> object:
        return parse_logo(data).media_type

    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00"
    return Harness(seeds=[_SVG, _SVG.replace(b' onclick="x()"', b""), png], judge=judge)


def _renewal() -> Harness:
    good = b'{"credential": {"id": "AA", "type": "public-key"}, "request": "MIIB", "lost": true}'

    def judge(data: bytes) -> object:
        body = parse_renewal(data)
        assert len(body.request) <= len(data)
        assert isinstance(json.loads(body.answer), dict)
        return body.lost

    return Harness(seeds=[good, b'{"credential": {}, "request": ""}'], judge=judge)


PAGE_TARGETS = (
    Target(name="logo", covers=("web.look.logo.parse_logo",), shape=Shape.TEXT, prepare=_logo),
    Target(
        name="renewal",
        covers=("web.portal.renewing.parse_renewal",),
        shape=Shape.TEXT,
        prepare=_renewal,
    ),
    Target(
        name="claimed-certificate",
        covers=("web.pages.unverified_certificate.parse_unverified_certificate",),
        shape=Shape.TEXT,
        prepare=_claimed,
    ),
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

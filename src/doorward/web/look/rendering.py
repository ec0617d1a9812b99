"""Rendering pages from templates and values.

Every template is read at the start. Values are escaped; a missing value is an error. Every template can use `brand`,
`language`, `languages` (pairs of language and name, to choose from), `static(name)` for the URL of a static file, and
`icon(name)` for an inline SVG in the colour of the text. Texts are translated by `_()` and `{% trans %}`.

No page may contain inline scripts or styles (`page_policy`).
Standard: Content Security Policy level 3; Trusted Types (W3C).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol, cast

from jinja2 import DictLoader, Environment, StrictUndefined
from jinja2.ext import InternationalizationExtension
from markupsafe import Markup, escape

from doorward.web.look.assets import ICONS, Asset, build_assets
from doorward.web.look.brand import DEFAULT_BRAND, Brand
from doorward.web.look.catalogues import CATALOGUES, LANGUAGE_NAMES, SOURCE

_TEMPLATES = Path(__file__).parent.parent / "templates"
TEMPLATES: Mapping[str, str] = {
    file.relative_to(_TEMPLATES).as_posix(): file.read_text("utf-8") for file in _TEMPLATES.rglob("*.html")
}
"""Name to source, such as `portal/check.html`. Read with the module, as the static files are."""

_LANGUAGE: ContextVar[str] = ContextVar("language", default=SOURCE)
"""Of the page that is being rendered: macros of imported templates see no context."""


def page_policy(*, form_action: str = "'self'", connect: str = "'self'") -> str:
    """Return the Content-Security-Policy of a page: our own style, pictures and script, and nothing within it.

    Args:
        form_action: where its forms may lead.
        connect: where its script may send requests.
    """
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
        f"connect-src {connect}; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


class _Translating(Protocol):
    def install_gettext_callables(self, gettext: Any, ngettext: Any, *, newstyle: bool) -> None: ...


def build_environment() -> Environment:
    """Return the environment of all templates."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=DictLoader(dict(TEMPLATES)),
        extensions=[InternationalizationExtension],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["ext.i18n.trimmed"] = True
    cast("_Translating", environment).install_gettext_callables(_gettext, _ngettext, newstyle=True)
    return environment


def _gettext(message: str) -> str:
    return CATALOGUES[_LANGUAGE.get()].gettext(message)


def _ngettext(one: str, many: str, number: int) -> str:
    return CATALOGUES[_LANGUAGE.get()].ngettext(one, many, number)


def mark(message: str) -> str:
    """Return the message unchanged: it marks the text for `tools.messages`; `translate` translates it later."""
    return message


def translate(message: str, language: str, **values: object) -> str:
    """Return a message in a language, with its values (`%(name)s`) inserted; nothing is escaped."""
    return CATALOGUES[language].gettext(message) % values


def ngettext(one: str, many: str, language: str, number: int) -> str:
    """Return a message in a language, in the plural form for a number, which is inserted as `%(num)d`."""
    return CATALOGUES[language].ngettext(one, many, number) % {"num": number}


def translate_markup(message: str, language: str, **values: object) -> Markup:
    """Return a message as `translate`, for HTML: values are escaped unless they are markup already."""
    return escape(CATALOGUES[language].gettext(message)) % values


class Look:
    """The templates, static files and brand of one installation.

    Args:
        brand: of the organisation.
        base: the path of the static files, without a slash at its end.
        chooses_language: whether pages offer other languages (`?lang=`) and a link to the portal's first page.
    """

    def __init__(
        self, brand: Brand = DEFAULT_BRAND, *, base: str = "/static", chooses_language: bool = False
    ) -> None:
        self.assets: Mapping[str, Asset] = build_assets(brand)
        self.brand = brand
        self._base = base
        self._environment = build_environment()
        self._environment.globals |= {
            "brand": brand,
            "home": "/" if chooses_language else "",
            "languages": tuple(LANGUAGE_NAMES.items()) if chooses_language else (),
            "static": self.static,
            "icon": lambda name: Markup(ICONS[name]),  # noqa: S704  files of ours, with nothing of a request
        }

    def static(self, name: str) -> str:
        """Return the URL of a static file."""
        return f"{self._base}/{name}?v={self.assets[name].version}"

    def render(self, name: str, context: Mapping[str, Any], language: str) -> str:
        """Return a page.

        Args:
            name: of its template, such as `portal/check.html`.
            context: its values.
            language: one of `CATALOGUES`.
        """
        token = _LANGUAGE.set(language)
        try:
            return self._environment.get_template(name).render(**context, language=language)
        finally:
            _LANGUAGE.reset(token)

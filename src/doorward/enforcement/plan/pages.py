"""The pages with which Envoy itself answers browsers, as a value: made elsewhere, put into place here.

A page is HTML with tokens for what is known only when it is sent (`Placeholder`). The words of the same states for programs
stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from doorward.enforcement.plan.limits import require

LONGEST_PAGE_BYTES = 4096
"""Each HTTP door has its own copy of every page, since the application's name stands in it."""


class Placeholder(Enum):
    """What stands in a page in place of a value; the characters are of Unicode's private use area."""

    APPLICATION = "\ue000a\ue001"  # the application's name
    INCIDENT = "\ue000i\ue001"  # the first digits of the request's id, in groups
    MOMENT = "\ue000m\ue001"  # UTC, as `time datetime` has it
    WHO = "\ue000w\ue001"  # name of the principal, percent-encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyPages:
    """Pages and words of Envoy's own replies.

    Args:
        languages: those of the pages, the default first.
        html: (name of a state, language) to a page.
        words: name of a state to title and detail of its problem document, with tokens.
        policy: the Content-Security-Policy of the pages.
        problems: what stands before the name of a state in `type`.
    """

    languages: tuple[str, ...]
    html: Mapping[tuple[str, str], str]
    words: Mapping[str, tuple[str, str]]
    policy: str
    problems: str

    def __post_init__(self) -> None:
        require(self.languages, "pages have a language")
        for (state, language), page in self.html.items():
            size = len(page.encode())
            require(language in self.languages, f"{language} is no language of these pages")
            require(size <= LONGEST_PAGE_BYTES, f"the page {state} has {size} bytes")
        object.__setattr__(self, "html", MappingProxyType(dict(self.html)))
        object.__setattr__(self, "words", MappingProxyType(dict(self.words)))

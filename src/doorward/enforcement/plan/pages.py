"""The pages of Envoy's own replies as a value; `web` renders them.

A page is HTML with placeholders for values that are known only when Envoy sends it (`Placeholder`). For programs the value
has the title and detail of a problem document for each state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from doorward.enforcement.plan.limits import require

LONGEST_PAGE_BYTES = 4096
"""Each HTTP door has its own copy of every page, because the page contains the application's name."""


class Placeholder(Enum):
    """A placeholder in a page; its characters are from Unicode's private use area."""

    APPLICATION = "\ue000a\ue001"  # the application's name
    INCIDENT = "\ue000i\ue001"  # the first digits of the request's id, in groups
    MOMENT = "\ue000m\ue001"  # UTC, as `time datetime` has it
    WHO = "\ue000w\ue001"  # name of the principal, percent-encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyPages:
    """Pages and problem documents of Envoy's own replies.

    Args:
        languages: the languages of the pages, the default first.
        html: (name of a state, language) to a page.
        words: name of a state to title and detail of its problem document, with placeholders.
        policy: the Content-Security-Policy of the pages.
        problems: the prefix of `type` before the name of a state.
    """

    languages: tuple[str, ...]
    html: Mapping[tuple[str, str], str]
    words: Mapping[str, tuple[str, str]]
    policy: str
    problems: str

    def __post_init__(self) -> None:
        require(self.languages, "pages need at least one language")
        for (state, language), page in self.html.items():
            size = len(page.encode())
            require(language in self.languages, f"{language} is not a language of these pages")
            require(
                size <= LONGEST_PAGE_BYTES,
                f"the page {state} has {size} bytes, at most {LONGEST_PAGE_BYTES} are allowed",
            )
        object.__setattr__(self, "html", MappingProxyType(dict(self.html)))
        object.__setattr__(self, "words", MappingProxyType(dict(self.words)))

"""Completion in bash, which splits words at colons: `certificate:revoked` comes as three words.

Not here: which words are offered (`completing`, `groups`).
"""

from __future__ import annotations

from typing import Any

from click.shell_completion import BashComplete, CompletionItem


class BashWords(BashComplete):
    """Joins words that bash split, and offers the part that bash replaces."""

    _kept = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        words, word = super().get_completion_args()
        *before, last = _join([*words, word])
        self._kept = last[: last.rfind(":") + 1]
        return before, last

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return an offer without the part that is on the line already."""
        return f"{item.type},{str(item.value).removeprefix(self._kept)}"


def _join(words: list[str]) -> list[str]:
    """Return words in which a colon stands between its neighbours."""
    joined: list[str] = []
    for word in words:
        if joined and word and (word == ":" or joined[-1].endswith(":")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined

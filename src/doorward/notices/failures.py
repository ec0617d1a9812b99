"""A message that could not be sent: why, in a sentence without secrets, and whether another try can help."""

from __future__ import annotations

MOST_CHARACTERS = 200


class SendFailed(Exception):
    """One try failed; `final` is True if no other try can succeed."""

    def __init__(self, problem: str, *, final: bool = False) -> None:
        plain = "".join(char if char.isprintable() else " " for char in problem)[:MOST_CHARACTERS]
        super().__init__(plain)
        self.problem = plain
        self.final = final

"""What anybody may ask of an open host: one table for each, read by the compiler and by the web surface.

Not here: the answers (`web`). A path is a template: literal segments, and `{name}` for one segment of
`[A-Za-z0-9._~-]`. Envoy lets nothing else through, and the surface has no handler for anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPEN_SEGMENT = "[A-Za-z0-9._~-]+"
"""What may stand for `{name}`."""

_METHOD = re.compile(r"[A-Z]{1,16}")
_NAME = re.compile(r"\{[a-z_]{1,32}\}")
_PATH = re.compile(r"/|(/([A-Za-z0-9._~-]{1,128}|\{[a-z_]{1,32}\}))+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """One request that anybody may send: a method, and the template of a path."""

    method: str
    path: str

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise ValueError("an open route names one method")
        if not _PATH.fullmatch(self.path):
            raise ValueError("an open route's segments are plain, or {name} for one of them")

    @property
    def regex(self) -> str:
        """The regular expression (RE2) of its paths; empty if the path is exact."""
        if "{" not in self.path:
            return ""
        return "".join(
            f"/{OPEN_SEGMENT if _NAME.fullmatch(one) else re.escape(one)}" for one in self.path[1:].split("/")
        )


ENROLMENT_ROUTES = (
    OpenRoute(method="GET", path="/"),
    OpenRoute(method="GET", path="/join"),
    OpenRoute(method="GET", path="/root.pem"),
    OpenRoute(method="GET", path="/static/{name}"),
    OpenRoute(method="POST", path="/v1/certificates"),
)
"""The enrolment host. Only what is needed to become somebody; everything else there answers 404."""

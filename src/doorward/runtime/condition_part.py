"""One part of the condition of an installation.

Not here: examining the parts (`condition`, `authority_condition`, `certificate_condition`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: a line for people, what is wrong (sentences), what to do, and facts for `--json`.

    `warnings` need attention although the part works.
    """

    name: str
    text: str
    trouble: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

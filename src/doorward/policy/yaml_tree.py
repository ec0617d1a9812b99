"""YAML text as a tree of scalars, sequences and mappings, each with its line and column.

Not here: the meaning of the tree (`reading`). Every scalar is text: `yes`, `0x1F` and `2026-01-01` stay as written, so a
name never becomes a boolean, a number or a date.

Only a part of YAML is accepted: one document, no tags (they make objects), no anchors and aliases (one kilobyte of them
can expand to gigabytes), no directives. The text has at most 1 MiB and is nested at most 16 levels deep. It is read as a
stream of events, so that neither limit is ever exceeded.

Standard: YAML 1.2.2 chapters 3 and 7 (parse to serialization tree).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from doorward.core.errors import ConfigurationError, Fault

TEXT_LIMIT_BYTES = 1024 * 1024
"""About ten thousand rules; the largest published policy files of similar products have a tenth of this size."""

DEPTH_LIMIT = 16
"""The deepest value of a valid document is at level 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """Text; `given` is False if there is no text (`key:` without a value). Lines and columns count from 1."""

    value: str
    given: bool
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Keys with their nodes in the order of the text; keys may repeat. `end_line` is the line after its end."""

    entries: tuple[tuple[Scalar, Node], ...]
    line: int
    column: int
    end_line: int
    is_flow: bool


Node = Scalar | Sequence | Mapping


def parse_tree(text: str, *, file: str) -> Node:
    """Parse one YAML document.

    Args:
        text: at most 1 MiB in UTF-8.
        file: its name, for faults.

    Returns:
        The root; a scalar that is not `given` if the text is empty.

    Raises:
        ConfigurationError: one fault, at the first place that is not YAML or not in the accepted part of YAML.
    """
    if len(text) > TEXT_LIMIT_BYTES or len(text.encode("utf-8", "surrogatepass")) > TEXT_LIMIT_BYTES:
        raise _error(file, "document-too-large", f"the document has more than {TEXT_LIMIT_BYTES:,} bytes")
    try:
        return _Composer(YAML(typ="safe", pure=True).parse(text), file).compose()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"this is not YAML: {error.problem or error.context}"
        raise _error(file, "yaml-syntax", message, mark, _hint(text, mark)) from error
    # The scanner passes on errors of chr() for an escape and of int() for a directive.
    except (YAMLError, ValueError, OverflowError) as error:
        message = "this is not YAML: it has a character or an escape that YAML does not allow"
        raise _error(file, "yaml-syntax", message) from error


def _hint(text: str, mark: Any) -> str:
    """Return a hint for the most likely mistake: within `[...]`, YAML reads braces in a path as a mapping."""
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    is_path = line.startswith("{principal}", mark.column) if line else False
    return 'put the path in quotation marks, such as ["/records/{principal}/**"]' if is_path else ""


def _error(file: str, code: str, message: str, mark: Any = None, hint: str = "") -> ConfigurationError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return ConfigurationError(
        [Fault(code=code, message=message, hint=hint, file=file, line=line, column=column)]
    )


class _Composer:
    """Turns events into nodes; refuses a feature at the first event that uses it."""

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self._events = events
        self._file = file

    def compose(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                self._check_start(event, first=root is None)
            elif isinstance(event, AliasEvent | ScalarEvent | SequenceStartEvent | MappingStartEvent):
                root = self._node(event, 1)
        return root or Scalar(value="", given=False, line=1, column=1)

    def _check_start(self, event: Any, *, first: bool) -> None:
        if not first:
            raise self._unsupported(
                event, "a second document", "write everything in one document, without ---"
            )
        if event.version or event.tags:
            raise self._unsupported(event, "a directive", "remove the lines that begin with %")

    def _node(self, event: Any, depth: int) -> Node:
        if depth > DEPTH_LIMIT:
            message = f"the document is nested more than {DEPTH_LIMIT} levels deep"
            raise _error(self._file, "document-too-deep", message, event.start_mark)
        if isinstance(event, AliasEvent) or event.anchor:
            raise self._unsupported(event, "an anchor or alias", "write the value in each place")
        if event.tag:
            raise self._unsupported(event, "a tag", "remove the word that begins with !")
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, ScalarEvent):
            given = bool(event.value or event.style)
            return Scalar(value=event.value, given=given, line=line, column=column)
        if isinstance(event, SequenceStartEvent):
            items = tuple(self._node(one, depth + 1) for one in self._until(SequenceEndEvent))
            return Sequence(items=items, line=line, column=column)
        return self._mapping(event, depth)

    def _mapping(self, event: Any, depth: int) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        while not isinstance(one := next(self._events), MappingEndEvent):
            key = self._node(one, depth + 1)
            if not isinstance(key, Scalar):
                raise self._unsupported(
                    one, "a list or mapping as a key", "write a plain word before the colon"
                )
            value = self._node(next(self._events), depth + 1)
            if isinstance(value, Scalar) and not value.given:
                value = replace(
                    value, line=key.line, column=key.column
                )  # without this it has the place of the next key
            entries.append((key, value))
        return Mapping(
            entries=tuple(entries),
            line=event.start_mark.line + 1,
            column=event.start_mark.column + 1,
            end_line=one.end_mark.line + 1,
            is_flow=bool(event.flow_style),
        )

    def _until(self, end: type) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _unsupported(self, event: Any, what: str, hint: str) -> ConfigurationError:
        message = f"{what} is not supported in a policy document"
        return _error(self._file, "yaml-unsupported", message, event.start_mark, hint)

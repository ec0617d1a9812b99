"""Leaves of events that repeat: rendered once, and then only with the values in which they differ.

The leaf of a repeated event has the same bytes as `leaf.render_leaf` gives for an `Event` with these values (a property test
compares them); only the way there is shorter. An event repeats another one if it has the same type, tenant, actor and
fields, and the same values except for: id, time, the public fields that are named here, and the personal fields that are
named here. A new value must match an expression without quote, backslash, control and non-ASCII character, so that it
stands in JSON as it is; any other value is refused, and the caller records an ordinary event.

Not here: which events repeat (gateway), and the form of a leaf (`leaf`).
Standard: RFC 8785, as in `leaf`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from doorward.audit.block import BlockBuilder
from doorward.audit.events import Event
from doorward.audit.leaf import VERSION, commitment, render_canonical
from doorward.audit.values import ID
from doorward.core.errors import MalformedInput

_PLAIN = re.compile(r"[!#-\[\]-~]{1,256}", re.ASCII)
"""A token that needs no escape in JSON; an address is one."""
_MARK = re.compile(r"\\u0000([0-9]+)\\u0000")


class RepeatedLeaf:
    """The leaf of an event, with places for the values that differ.

    Args:
        event: the event that is repeated; it is valid, so all values that stay are.
        public: names of the public TOKEN or MOMENT fields that differ; the event has each of them as text.
        personal: names of the personal fields that differ; the event has each of them.
    """

    def __init__(self, event: Event, *, public: Sequence[str], personal: Sequence[str]) -> None:
        self.tenant, self.retention = event.tenant, event.retention
        self._public, self._changed = len(public), len(personal)
        marks = [f"\x00{place}\x00" for place in range(2 + len(public))]
        data = {**event.data, **dict(zip(public, marks[2:], strict=True))}
        fields = {
            "actor": event.actor,
            "at": marks[0],
            "data": data,
            "id": marks[1],
            "tenant": event.tenant,
            "type": event.type.value,
            "v": VERSION,
        }
        text = render_canonical(fields).decode()
        # No value of an event has a control character, so a mark is found only where it was put.
        parts = _MARK.split(text)
        *texts, last = [part.replace("%", "%%") for part in parts[0::2]]
        self._places = [int(place) for place in parts[1::2]]
        # `personal` stands between `id` and `tenant`, and is rendered for each leaf.
        assert last.startswith('","tenant":')
        self._format = f'{"%s".join([*texts, ""])}","personal":{{%s}}{last[1:]}'
        order = {name: place for place, name in enumerate(personal)}
        self._personal = tuple(
            (name, event.subject_of(name), value, order.get(name, -1))
            for name, value in event.personal.items()
        )

    def append(
        self, block: BlockBuilder, event_id: str, public: Sequence[str], personal: Sequence[str]
    ) -> None:
        """Add a leaf to a block, with the time of the block.

        Args:
            block: of the same tenant and retention class.
            event_id: new.
            public: the values of the public fields that differ, in the order of the constructor.
            personal: the values of the personal fields that differ, in the order of the constructor.

        Raises:
            MalformedInput: `event-malformed`: a value is not plain; nothing was added.
            ValueError: the block is of another tenant or retention class: a fault of the caller.
        """
        if (block.tenant, block.retention) != (self.tenant, self.retention):
            raise ValueError("the event does not belong into this block")
        if not ID.fullmatch(event_id) or not all(map(_PLAIN.fullmatch, (*public, *personal))):
            raise MalformedInput("event-malformed", "a value of a repeated event is not plain")
        if len(public) != self._public or len(personal) != self._changed:
            raise ValueError("the event has other fields that differ")
        values = (block.at_text, event_id, *public)
        opened, pairs = [], []
        for name, subject, same, place in self._personal:
            value = same if place < 0 else personal[place]
            pairs.append(f'"{name}":"{commitment(name, value, block.salts(subject, 1))}"')
            opened.append((subject, name, value))
        text = self._format % (*[values[place] for place in self._places], ",".join(pairs))
        block.append(event_id, text.encode(), opened)

"""docs/reference/events.md: the catalogue of events, from the table that the recorder obeys."""

from __future__ import annotations

from doorward.audit.catalogue import ACTOR_FIELDS, CATALOGUE, FieldKind, Retention
from tools.reference.markdown import render_table

HEAD = """\
# Events

<!-- Made by `python -m tools.reference` from the program itself. Do not edit. -->

Every event is a leaf of the log. The catalogue is closed: a type or a field that is not on this page cannot be
recorded. Compatibility: a type may gain optional fields; nothing is renamed or removed, and no field moves from personal
to public.

- **Public** fields stay in the log for ever. They are opaque ids, digests, reasons, methods and numbers. Those in bold
  are always there, the others where they are known.
- **Personal** fields are kept apart. The leaf holds only a commitment to each of them (HMAC-SHA-256 under a salt of its
  own). When value and salt are erased the log still verifies, and the field counts as redacted.
- Every type may also carry the personal fields {actor}.
- A name that nobody has proved is called `claimed_…`: never take it for an identity.
- **Retention** is the class by which personal values will be erased. The log can erase by class and by person; no
  command does it yet.

Each event has beside its fields: `id` (`evt_…`), `type`, `at` (UTC), `tenant`, `actor` (an id, `os:<uid>` for the command
line, or `system`), `v` (1).

"""

_SENTENCES = {
    Retention.OPERATION: "Operation: what administrators and the program do to the installation.",
    Retention.IDENTITY: "Identity: people, devices, services, groups and their certificates.",
    Retention.DECISION: "Decision: who was let in, who was not, who was cut off, and why.",
    Retention.ACCESS: "Access: single requests and failed handshakes, as Envoy reports them.",
}


def render_events() -> str:
    """Return the page."""
    parts = [HEAD.format(actor=", ".join(f"`{name}`" for name in sorted(ACTOR_FIELDS)))]
    for retention in Retention:
        parts.append(f"## Retention class `{retention.value}`\n\n{_SENTENCES[retention]}\n\n")
        rows = [
            (
                f"`{kind.value}`",
                ", ".join(
                    [f"**{name}**" for name in spec.fields if name in spec.required]
                    + [name for name in spec.fields if name not in spec.required]
                ),
                ", ".join(sorted(spec.personal - ACTOR_FIELDS)),
            )
            for kind, spec in CATALOGUE.items()
            if spec.retention is retention
        ]
        parts.append(render_table(("event", "public fields", "personal fields"), rows) + "\n")
    parts.append("## Kinds of public fields\n\n")
    parts.append("One name has one kind in every event.\n\n")
    parts.append(render_table(("kind", "what it holds", "fields"), _kinds()))
    return "".join(parts)


def _kinds() -> list[tuple[str, str, str]]:
    words = {
        FieldKind.ID: "an opaque id",
        FieldKind.TOKEN: "printable ASCII without spaces",
        FieldKind.MOMENT: "a time in UTC, RFC 3339",
        FieldKind.TEXT: "one line of text",
        FieldKind.INTEGER: "a whole number",
        FieldKind.FLAG: "true or false",
        FieldKind.TOKENS: "a list of tokens",
    }
    names: dict[FieldKind, set[str]] = {kind: set() for kind in FieldKind}
    for spec in CATALOGUE.values():
        for name, kind in spec.fields.items():
            names[kind].add(name)
    return [(f"`{kind.value}`", words[kind], ", ".join(sorted(names[kind]))) for kind in FieldKind]

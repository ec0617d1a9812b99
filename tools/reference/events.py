"""docs/reference/events.md: the catalogue of events, from the table in `audit.catalogue`."""

from __future__ import annotations

from doorward.audit.catalogue import ACTOR_FIELDS, CATALOGUE, FieldKind, Retention
from tools.reference.markdown import render_table

HEAD = """\
# Events

<!-- Made by `python -m tools.reference` from the program itself. Do not edit. -->

Every event is a leaf of the log. The catalogue is closed: a type or a field that is not on this page cannot be
recorded. Compatibility: a type may get new optional fields; no field is renamed or removed, and no personal field becomes
public.

- **Public** fields stay in the log for ever. They are opaque ids, digests, reasons, methods and numbers. An event always
  has the fields in bold; it has the others if their values are known.
- **Personal** fields are stored outside of the leaf. The leaf contains only a commitment to each of them (HMAC-SHA-256
  with a salt of its own). After value and salt were erased the log still verifies, and the field counts as redacted.
- Every type may also have the personal field {actor}.
- A field `claimed_…` holds a name that a peer claimed without proof: do not take it for an identity.
- **Retention** is the class by which `doorward audit erase --class` erases personal values; `--person` erases those about one
  person. Nothing is erased by itself.

Every event also has `id` (`evt_…`), `type`, `at` (UTC), `tenant`, `actor` (an id, `os:<uid>` for the command
line, or `system`) and `v` (1).

"""

_SENTENCES = {
    Retention.OPERATION: "Changes of the installation, by administrators and by the program.",
    Retention.IDENTITY: "Changes of people, devices, services, groups and their certificates.",
    Retention.DECISION: "Decisions: which connections were admitted, refused or cut, and why.",
    Retention.ACCESS: "Single requests, connections and failed handshakes, as Envoy reports them.",
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
    parts.append("A field name has the same kind in all events.\n\n")
    parts.append(render_table(("kind", "value", "fields"), _kinds()))
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

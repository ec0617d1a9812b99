"""Changes of one application in a document's text; comments and layout are kept if possible.

    1. the change is made to the parsed document
    2. in the text, the lines of that application are replaced by its canonical lines
    3. the new text must parse to the changed document; if it does not, the whole text is rendered canonically

Not here: adding an application (`document.append_app`), applying the document (access.policies).
"""

from __future__ import annotations

from doorward.core.errors import ConfigurationError
from doorward.policy.document import parse_document
from doorward.policy.model import AppPolicy, Document
from doorward.policy.rendering import render_parts, render_whole_app
from doorward.policy.yaml_tree import Mapping, parse_tree


def replace_app(text: str, name: str, app: AppPolicy | None) -> str:
    """Return a document's text with one application changed, or without it.

    Args:
        text: a document without faults that has the application.
        name: of the application.
        app: the changed application; None removes it.

    Raises:
        ConfigurationError: the changed document has faults.
    """
    before = parse_document(text)
    wanted = (app if one.name == name else one for one in before.apps)
    apps = tuple(one for one in wanted if one is not None)
    edited = _replace_lines(text, name, app)
    if edited and _has(edited, before, apps):
        return edited
    canonical = render_parts(before.trust_domain, apps, before.factors)
    parse_document(canonical)
    return canonical


def _has(text: str, before: Document, apps: tuple[AppPolicy, ...]) -> bool:
    try:
        after = parse_document(text)
    except ConfigurationError:
        return False
    return (after.apps, after.factors) == (apps, before.factors)


def _replace_lines(text: str, name: str, app: AppPolicy | None) -> str:
    """Replace the lines from the application's key to the next key; return an empty text if it is not in block style."""
    root = parse_tree(text, file="")
    found = {key.value: node for key, node in root.entries} if isinstance(root, Mapping) else {}
    apps = found.get("apps")
    if not isinstance(apps, Mapping) or apps.is_flow or (app is None and len(apps.entries) == 1):
        return ""
    lines = text.splitlines()
    starts = [key.line for key, _ in apps.entries]
    at = [key.value for key, _ in apps.entries].index(name)
    end = starts[at + 1] - 1 if at + 1 < len(starts) else apps.end_line - 1
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1  # comments before the next key belong to the next application
    indent = " " * (apps.column - 1)
    new = [] if app is None else [indent + line for line in render_whole_app(app)]
    return "\n".join([*lines[: starts[at] - 1], *new, *lines[end:]]) + "\n"

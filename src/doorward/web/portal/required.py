"""Notes on the portal about required second factors that a person does not have yet."""

from __future__ import annotations

from doorward.core.factor_kinds import FactorKind
from doorward.policy.group_factors import RequiredFactors
from doorward.web.look.rendering import mark, translate

_TEXTS = {
    FactorKind.WEBAUTHN: mark("A group that you are in requires a passkey, and you have none yet."),
    FactorKind.TOTP: mark("A group that you are in requires codes from an app, and you have none yet."),
    FactorKind.PASSWORD: mark("A group that you are in requires a password, and you have none yet."),
}
_ANY = mark("A group that you are in requires a second factor, and you have none yet.")


def build_missing_factor_notes(missing: RequiredFactors, language: str) -> list[dict[str, str]]:
    """Return a note for each missing required factor: a kind, a text, and a link with its text."""
    notes = [(_TEXTS[kind], f"/factors/{kind.value}") for kind in _TEXTS if kind in missing.kinds]
    notes += [(_ANY, "/factors")] if missing.any_kind else []
    return [
        {
            "kind": "soon",
            "text": translate(text, language),
            "when": "",
            "href": href,
            "act": translate(mark("Add one"), language),
        }
        for text, href in notes
    ]

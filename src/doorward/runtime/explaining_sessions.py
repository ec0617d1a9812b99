"""The facts of a session or of a second factor, for `doorward explain`; never a secret.

Not here: the events around it (`explaining`).
"""

from __future__ import annotations

from datetime import datetime

from doorward.runtime.reading import Reader
from doorward.stores.factor_records import FactorRecord, SessionRecord
from doorward.stores.protocols import Stores

Facts = tuple[tuple[str, str], ...]


def find_facts(stores: Stores, reader: Reader, text: str, now: datetime) -> tuple[str, Facts] | None:
    """Return a title and the facts of the session (`ses_…`) or factor (`fct_…`) of that id; None if there is none.

    A session is kept for 30 days after its end, a factor until it is removed; the events of both stay.
    """
    session = stores.sessions.get(text) if text.startswith("ses_") else None
    if session is not None:
        return f"session {session.id}", _session(reader, session, now)
    factor = stores.factors.get(text) if text.startswith("fct_") else None
    return None if factor is None else (f"second factor {factor.id}", _factor(reader, factor))


def _session(reader: Reader, session: SessionRecord, now: datetime) -> Facts:
    if session.ended_at is not None:
        state = f"ended at {_moment(session.ended_at)}"
    else:
        state = f"open until {_moment(session.ends_at)}" if now < session.ends_at else "expired"
    shown = sorted(session.factors.items(), key=lambda one: one[1])
    return (
        ("holder", reader.principal(session.principal_id)),
        ("application", reader.application(session.application_id)),
        ("state", state),
        ("factors", ", ".join(f"{kind.value} at {_moment(at)}" for kind, at in shown)),
        ("opened at", _moment(session.created_at)),
        ("seen at", _moment(session.seen_at)),
        ("from", session.source),
        ("client", session.client),
        ("certificate", session.certificate_id),
    )


def _factor(reader: Reader, factor: FactorRecord) -> Facts:
    return (
        ("holder", reader.principal(factor.principal_id)),
        ("kind", factor.kind.value),
        ("name", factor.name),
        ("enrolled at", _moment(factor.created_at)),
        ("used at", "never" if factor.last_used_at is None else _moment(factor.last_used_at)),
        ("host", factor.rp_id),
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"

"""The door held to the judge: generated policies, kept connections and requests, against a running Envoy.

A connection that an edit ended is opened again; one that lives on must answer by the *new* policy,
whatever ids it was given under an older one. Every other edit takes
nothing from anybody: after it, no connection may be opened again.

Some rules ask for a second factor. Each request comes with a session of a kind that the dice say: none, one in which factors
were shown, or one that is not this connection's. Tokens are signed with the installation's own key.
"""

from __future__ import annotations

import http.client
import random
import select
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from doorward.core.entities import TENANT, Outcome, PrincipalKind
from doorward.core.errors import ConfigurationError
from doorward.core.shown_factors import NOTHING_SHOWN, ShownFactors
from doorward.directory.session_keys import current_session_key
from doorward.enforcement.envoy.names import SESSION_COOKIE
from doorward.factors.session import SessionClaims, sign_session
from doorward.policy.decision import Request, check_admission, decide, decide_anonymous, permissions_of
from doorward.policy.document import parse_document
from doorward.policy.model import AppPolicy
from doorward.policy.requirements import SECOND_FACTORS
from doorward.policy.subject import Subject
from doorward.policy.time_windows import DAYS
from doorward.stores.policy_snapshot import current_document
from tests.support.doorway import DOMAIN, Doorway, Identity, Session
from tests.support.equation_callers import Hospital

REQUESTS_PER_EDIT = 40
ANSWERS = ("200", "400", "401", "403", "refused connection")
PEOPLE: dict[str, tuple[PrincipalKind, tuple[str, ...]]] = {
    "ann": (PrincipalKind.PERSON, ("red",)),
    "ben": (PrincipalKind.PERSON, ("red", "blue")),
    "cat": (PrincipalKind.PERSON, ()),
    "dev-1": (PrincipalKind.DEVICE, ("blue",)),
    "svc-1": (PrincipalKind.SERVICE, ("green",)),
    "eve": (PrincipalKind.PERSON, ("green", "blue")),
}
SELECTORS = (
    "{kind: [person, device, service]}",
    "{kind: [person, device]}",
    "{groups: [red]}",
    "{groups: [blue]}",
    "{groups: [green, red]}",
    "{kind: person}",
    "{kind: [device, service]}",
    "{persons: [ann]}",
    "{persons: [cat, eve]}",
    "{devices: [dev-1]}",
    "{kind: person, groups: [blue]}",
    "{services: [svc-1]}",
    "{kind: person, source: [127.0.0.0/8]}",
    "{kind: person, source: [10.0.0.0/8, '::/0']}",
    "{groups: [red], source: [0.0.0.0/0]}",
    "{groups: [blue, red], time: {days: [DAYS], zone: UTC}}",
    "{kind: [person, device], time: {days: [OTHER], zone: UTC}}",
)
"""Connections come from 127.0.0.1, on one of `DAYS`, and not on `OTHER`."""
PATTERNS = (
    "/**",
    "/a/**",
    "/a/*/b",
    "/a",
    "/a/b",
    "/*",
    "/admin/**",
    "/A/**",
    "/a/*/**",
    "/a.b/**",
    "/x%20y",
    "/{principal}",
    "/{principal}/**",
    "/a/{principal}/**",
    "/*/{principal}",
)
KEPT_PATTERNS = ("/a%2Fb", "/a%2Fb/**", "/%2F", "/a/x%2F", "/*/%2F/**")
REQUIREMENTS = (
    "{factor: webauthn, within: 5m}",
    "{factor: any}",
    "{level: 2}",
    "{level: 3, within: 1h}",
    "{factor: password}",
    "[{factor: totp, within: 2m}, {level: 2, within: 1h}]",
)
AGES = (10, 200, 400, 3000, 4000)
"""Seconds since a factor was shown: each is a minute and more off what a rule asks for."""
SESSIONS = (
    "none",
    "none",
    "good",
    "good",
    "good",
    "other certificate",
    "other application",
    "older epoch",
    "over",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
PATHS = (
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/x/b",
    "/a/x/y/b",
    "/a//b",
    "//a",
    "/a/./b",
    "/a/../admin/x",
    "/b/../a",
    "/admin",
    "/admin/",
    "/admin/x",
    "/ADMIN/x",
    "/%61dmin/x",
    "/a%2fb",
    "/a%2Fb",
    "/a\\b",
    "/a%5cb",
    "/a/%2e%2e/admin",
    "/a/..%2fadmin",
    "/..",
    "/../a",
    "/a/b/..",
    "/a?x=/admin",
    "/a/b?q=1&p=%2f",
    "/a%00b",
    "/a%zz",
    "/a;x=1/b",
    "/a.b/c",
    "/aXb/c",
    "/x%20y",
    "/x%20y/z",
    "/%7Ea",
    "/~a",
    "/a/%2E/b",
    "/a/b%2e%2e",
    "/A/b",
    "/*",
    "/**",
    "/a/*/b",
    "/a/b/c/d/e/f",
    "/a///b///",
    "/.",
    "/a/...",
    "/%41/b",
    "/a%3Fb",
    "/a%23b",
    "/caf%C3%A9",
    "/a+b",
    "/a,b",
    "/ann",
    "/ann/x",
    "/ben/",
    "/Ann",
    "/%61nn",
    "/ann/../ben",
    "/a/ann",
    "/a/cat/x",
    "/a/ben/x",
    "/a/annx",
    "/x/ann",
    "/x/dev-1",
    "/dev-1/y",
    "/{principal}",
    "/a/%3F/x",
    "/clinic/x",
)
KEPT_PATHS = (
    "/a%2fb/c",
    "/%2F",
    "/%2f/a",
    "/a/x%2F",
    "/admin%2Fx",
    "/a/%2F/b",
    "/a%2F..%2Fadmin",
    "/a%2f%2fb",
    "/a%2F.",
    "/..%2Fadmin",
    "/a%252Fb",
)
"""Asked where encoded slashes are kept; elsewhere Envoy ends the connection with each of them."""


@dataclass(slots=True)
class Caller:
    """One subject with a kept connection; None for those who come without a certificate."""

    subject: Subject | None
    identity: Identity | None
    session: Session | None = None
    opened_under: int = 0
    keeps_slashes: bool = False
    reopened: int = 0
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.identity is not None:
            leaf = x509.load_pem_x509_certificates(self.identity.chain.read_bytes())[0]
            self.sha256 = leaf.fingerprint(hashes.SHA256()).hex()


def selectors_of_today() -> list[str]:
    """Those about a day are about days that neither begin nor end while a test runs."""
    other = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    days = ", ".join(day for day in DAYS if day != other)
    return [one.replace("DAYS", days).replace("OTHER", other) for one in SELECTORS]


def _document(dice: random.Random, port: int, certified: Sequence[str], *, alone: bool, kept: bool) -> str:
    """A policy with a rule about certificates; a line more for a rule takes nothing from anybody, see `_gentle`."""
    rules = []
    count = dice.randint(2, 8)
    about_certificates = dice.randrange(count)
    patterns = (*PATTERNS, *KEPT_PATTERNS) if kept else PATTERNS
    for number in range(count):
        effect = "deny" if number and dice.random() < 0.4 else "allow"
        to = []
        if dice.random() < 0.5:
            to.append(f"methods: [{', '.join(dice.sample(METHODS, dice.randint(1, 3)))}]")
        if dice.random() < 0.8:
            to.append(
                "paths: [" + ", ".join(f'"{one}"' for one in dice.sample(patterns, dice.randint(1, 3))) + "]"
            )
        tail = f", to: {{{', '.join(to)}}}" if to else ""
        if effect == "allow" and dice.random() < 0.4:
            tail += f", require: {dice.choice(REQUIREMENTS)}"
        some = certified if number == about_certificates or dice.random() < 0.4 else selectors_of_today()
        rules.append(f"      - {{name: rule {number}, {effect}: {dice.choice(some)}{tail}}}")
    begin = (
        f"trust_domain: {DOMAIN}\napps:\n  app:\n    hosts: [app.{DOMAIN}]\n"
        f"    upstream: http://127.0.0.1:{port}\n    trust: {'[own]' if alone else '[own, clinic]'}\n"
    )
    end = "    rules:\n" + "\n".join(rules) + "\n"
    # Not often: what opens or closes replaces the door's chain, and so hides what old grants could do.
    wanted = dice.sample(PATTERNS, 2) if dice.random() < 0.3 and not kept else []
    opened = [one for one in wanted if _may_be_public(begin, one, end)]
    public = "    public: [" + ", ".join(f'"{one}"' for one in opened) + "]\n" if opened else ""
    options = "    paths: {encoded_slash: keep}\n" if kept else ""
    return begin + options + public + end


def _may_be_public(begin: str, pattern: str, end: str) -> bool:
    """Whether no deny rule of a document is about any part of a pattern."""
    try:
        parse_document(f'{begin}    public: ["{pattern}"]\n{end}')
    except ConfigurationError:
        return False
    return True


def _gentle(document: str, number: int) -> str:
    """The same policy and a rule for an empty group: other ids, and no principal loses anything."""
    return f"{document}      - {{name: empty {number}, allow: {{groups: [empty-{number}]}}}}\n"


class _Sessions:
    """Tokens as the installation signs them."""

    def __init__(self, door: Doorway) -> None:
        self._services = door.services
        self._key = current_session_key(door.services)[1]
        self._issuer = f"https://{DOMAIN}/portal"

    def throw(
        self, dice: random.Random, caller: Caller, application_id: str
    ) -> tuple[dict[str, str], ShownFactors]:
        """Return a session of some kind as header fields, and what a judge may see of it."""
        kind = dice.choice(SESSIONS)
        if kind == "none":
            return {}, NOTHING_SHOWN
        now = datetime.now(UTC)
        kinds = dice.sample(sorted(SECOND_FACTORS, key=str), dice.randint(1, 3))
        principal = caller.subject.principal.id if caller.subject else "per_nobody"
        with self._services.work.read() as stores:
            epoch = stores.epochs.of(principal, application_id)
        times = {one: now - timedelta(seconds=dice.choice(AGES)) for one in kinds}
        good = SessionClaims(
            issuer=self._issuer,
            application_id=application_id,
            principal_id=principal,
            session_id="ses_1",
            issued_at=now - timedelta(hours=2),
            ends_at=now + timedelta(hours=1),
            certificate_sha256=caller.sha256 or "0" * 64,
            epoch=epoch,
            shown=ShownFactors.of(times),
            assertion="a.b.c",
        )
        changed: dict[str, dict[str, Any]] = {
            "other certificate": {"certificate_sha256": "1" * 64},
            "other application": {"application_id": "app_other"},
            "older epoch": {"epoch": f"{epoch}0"},
            "over": {"ends_at": now - timedelta(minutes=1)},
        }
        token = sign_session(self._key, replace(good, **changed.get(kind, {})))
        shown = ShownFactors.of(times) if kind == "good" else NOTHING_SHOWN
        return {"Cookie": f"a=1; {SESSION_COOKIE}={token}"}, shown


def _ask(
    door: Doorway, caller: Caller, request: Request, headers: dict[str, str], revision: int
) -> tuple[str, str]:
    """Return what happened (`refused connection`, or a status) and the path that the application saw."""
    method, path = request.method, request.raw_path
    for attempt in ("kept", "new"):
        try:
            if caller.session is None:
                caller.session = Session(door.connect(caller.identity), door.host("app"), door.port)
                caller.opened_under = revision
            reply = caller.session.request(method, path, headers=headers)
        except (OSError, http.client.HTTPException):
            if caller.session is not None:
                caller.session.close()
                caller.reopened += caller.opened_under < revision
            caller.session = None
            if attempt == "new":
                return "refused connection", ""
            continue
        seen = reply.json()["path"] if reply.status == 200 and method != "HEAD" else ""
        if reply.headers.get("connection") == "close":
            caller.session.close()
            caller.session = None
        return str(reply.status), seen
    raise AssertionError("unreachable")


@contextmanager
def closing_all(callers: list[Caller]) -> Iterator[None]:
    """Close every kept connection at the end, also after a failure."""
    try:
        yield
    finally:
        for caller in callers:
            if caller.session is not None:
                caller.session.close()


def _expect(app: AppPolicy, application_id: str, caller: Caller, request: Request) -> tuple[str, str]:
    who = caller.subject
    if who is not None:
        who = replace(who, source=IPv4Address("127.0.0.1"), time=datetime.now(UTC))
    admitted = who is not None and check_admission(permissions_of(app, TENANT, application_id, who)).outcome
    if who is not None and admitted is Outcome.GOOD:
        decision = decide(app, TENANT, application_id, who, request)
    elif app.admits_anonymous:
        decision = decide_anonymous(app, request)
    else:
        return "refused connection", ""
    if decision.path_refused is not None:
        return "400", ""
    if decision.outcome is Outcome.GOOD:
        return "200", decision.path if request.method != "HEAD" else ""
    return ("401" if decision.missing else "403"), ""


def hold_to_the_judge(door: Doorway, *, policies: int, seed: int) -> Counter[str]:
    """Compare status and path at the application, for each of many triples, with what the judge says.

    Args:
        door: a fresh one.
        policies: how many are generated; each is put into force twice, with `REQUESTS_PER_EDIT` after each.
        seed: of the dice.

    Returns:
        How often there was each of `ANSWERS`, and how many came over a connection older than the policy.

    Raises:
        AssertionError: at the first difference.
    """
    dice = random.Random(seed)
    counted: Counter[str] = Counter()
    hospital = Hospital(door)
    people = [hospital.employ(name, kind, groups) for name, (kind, groups) in PEOPLE.items()]
    people += hospital.visitors()
    callers = [Caller(subject=one.subject, identity=one.identity) for one in people]
    callers.append(Caller(subject=None, identity=None))
    sessions = _Sessions(door)
    with closing_all(callers):
        for number in range(policies):
            # Each once and for all the rest: the change replaces the door's chain, and so hides old grants.
            alone, kept = number < policies // 8, number >= policies * 2 // 3
            certified = hospital.selectors(alone=alone)
            document = _document(dice, door.upstream.port, certified, alone=alone, kept=kept)
            _edit_and_compare(door, dice, callers, document, counted, sessions)
            _forget_ended(callers)  # by the edit before, and noticed only when something is asked
            before = sum(caller.reopened for caller in callers)
            _edit_and_compare(door, dice, callers, _gentle(document, number), counted, sessions)
            ended = sum(caller.reopened for caller in callers) - before
            assert not ended, f"an edit that takes nothing ended {ended} connections"
    return counted


def _leave_if_slashes_changed(callers: list[Caller], app: AppPolicy) -> None:
    """Close kept connections of the other kind: until they have drained, a slash that may now pass is still 400."""
    for caller in callers:
        if caller.session is not None and caller.keeps_slashes is not app.keeps_slashes:
            caller.session.close()
            caller.session = None
        caller.keeps_slashes = app.keeps_slashes


def _forget_ended(callers: list[Caller]) -> None:
    for caller in callers:
        if caller.session is not None and select.select([caller.session.socket], [], [], 0)[0]:
            caller.session.close()
            caller.session = None


def _edit_and_compare(  # noqa: PLR0917 - what one comparison needs
    door: Doorway,
    dice: random.Random,
    callers: list[Caller],
    document: str,
    counted: Counter[str],
    sessions: _Sessions,
) -> None:
    """Put a policy into force, and hold the door's answers to the judge's."""
    door.apply_document(document)
    with door.services.work.read() as stores:
        current, revision = current_document(stores)
        application_id = stores.applications.list()[0].id
    _leave_if_slashes_changed(callers, current.apps[0])
    paths = (*PATHS, *KEPT_PATHS) if current.apps[0].keeps_slashes else PATHS
    for _ in range(REQUESTS_PER_EDIT):
        caller, method, path = dice.choice(callers), dice.choice(METHODS), dice.choice(paths)
        headers, shown = sessions.throw(dice, caller, application_id)
        request = Request(method=method, raw_path=path, shown=shown)
        name = caller.subject.principal.name if caller.subject else "nobody"
        expected = _expect(current.apps[0], application_id, caller, request)
        seen = _ask(door, caller, request, headers, revision)
        assert seen == expected, f"the judge differs: {(revision, name, method, path, shown, expected, seen)}"
        counted[seen[0]] += 1
        counted["by an older connection"] += caller.session is not None and caller.opened_under < revision
        counted["by a factor"] += seen[0] == "200" and "Cookie" in headers

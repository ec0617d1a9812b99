"""The portal's first page and its actions: notes, applications, certificates, factors, sessions and recent activity.

    GET  /                           the first page
    POST /certificates/{id}/name     name a device
    GET  /certificates/renew         a page that makes a key and renews the certificate of this connection
    POST /certificates/renew         exchange a CSR for its successor
    GET  /certificates/{id}/lost     ask for confirmation, and explain the consequences
    POST /certificates/{id}/lost     revoke the certificate now
    POST /sessions/{id}/end          sign out of one application, or of the portal
    POST /sign-out                   sign out everywhere
    GET  /lately/{key}               see `recent_activity`

Each route concerns the caller only. A person who has a second factor must show it to renew or to report a loss: otherwise a
thief of an unlocked device could make a certificate for another device.
Not here: adding a device (add_device), access of a certificate (access), the use cases (directory.own_certificates,
directory.sessions).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from doorward.access.own_applications import OwnApplication, list_own_applications
from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.account_activity import list_activities
from doorward.directory.callers import Caller
from doorward.directory.help_desk import HelpDesk
from doorward.directory.own_certificates import (
    OwnCertificate,
    OwnCertificateStatus,
    find_own_certificate,
    list_own_certificates,
    name_own_device,
    renew_own_certificate,
    report_lost,
)
from doorward.directory.sessions import end_session, list_sessions, sign_out
from doorward.directory.step_ups import with_port
from doorward.stores.factor_records import SessionRecord
from doorward.web.answers import CUT_DELAY_SECONDS, form_of, redirect
from doorward.web.guard import GuardedRoute
from doorward.web.look.dates import render_moment_with_distance
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import mark, translate
from doorward.web.portal.clients import name_client
from doorward.web.portal.context import PortalContext, removed_portal_cookie
from doorward.web.portal.devices import list_devices
from doorward.web.portal.factors import PortalFactors
from doorward.web.portal.recent_activity import (
    ActivityContext,
    ActivityRoutes,
    note_unknown_sign_ins,
    show_activities,
)
from doorward.web.portal.required import build_missing_factor_notes
from doorward.web.token_exchange import read_request, render_issued

FRESH = timedelta(minutes=5)
"""How recently a factor must have been shown to renew or to report a loss."""

NEW = timedelta(days=7)
"""How long a new certificate of another device is shown in a note."""

_STATUSES = {
    OwnCertificateStatus.GOOD: ("good", mark("good")),
    OwnCertificateStatus.SOON: ("soon", mark("ends soon")),
    OwnCertificateStatus.ENDED: ("ended", mark("ended")),
    OwnCertificateStatus.HELD: ("bad", mark("on hold")),
    OwnCertificateStatus.WITHDRAWN: ("bad", mark("withdrawn")),
}


class HomeRoutes:
    """The routes of the first page.

    Args:
        portal: the portal.
        factors: lists and checks factors.
        desk: knows who belongs to the help desk and sees a link to its page; None if there is no help desk.
    """

    def __init__(self, portal: PortalContext, factors: PortalFactors, desk: HelpDesk | None) -> None:
        self._portal = portal
        self._factors = factors
        self._desk = desk
        self._activity = ActivityRoutes(portal)
        self._tasks: set[asyncio.Task[None]] = set()

    def route_table(self) -> Sequence[GuardedRoute]:
        """Return the routes."""
        return (
            GuardedRoute(method="GET", path="/", answer=self._overview),
            GuardedRoute(method="GET", path="/certificates/renew", answer=self._renewal),
            GuardedRoute(method="POST", path="/certificates/renew", answer=self._renew),
            GuardedRoute(method="POST", path="/certificates/{id}/name", answer=self._name),
            GuardedRoute(method="GET", path="/certificates/{id}/lost", answer=self._ask_lost),
            GuardedRoute(method="POST", path="/certificates/{id}/lost", answer=self._lose),
            GuardedRoute(method="POST", path="/sessions/{id}/end", answer=self._end_session),
            GuardedRoute(method="POST", path="/sign-out", answer=self._sign_out),
            *self._activity.route_table(),
        )

    async def _overview(self, request: Request, caller: Caller) -> Response:
        portal, language = self._portal, language_of(request)
        services, now = portal.services, portal.services.clock.now()
        applications = await portal.run(
            lambda: list_own_applications(
                services,
                portal.snapshots,
                principal=caller.name,
                certificate_id=caller.certificate_id,
                source=caller.source,
            )
        )
        certificates = await portal.run(lambda: list_own_certificates(services, caller.principal_id))
        sessions = await portal.run(lambda: list_sessions(services, caller.principal_id))
        factors = await self._factors.own(caller)
        here = await portal.session(request, caller)
        names = {one.id: one.name for one in applications}
        port = await portal.port()
        activities = await portal.run(lambda: list_activities(services, caller.principal_id))
        context = ActivityContext(
            applications=names,
            certificates={one.record.id: one for one in certificates},
            now=now,
            language=language,
        )
        missing = build_missing_factor_notes(await self._factors.missing(caller, factors), language)
        values = {
            "today": [
                *note_unknown_sign_ins(activities, caller, context),
                *missing,
                *_today(certificates, caller, now, language, has_factors=bool(factors or missing)),
            ],
            "applications": [
                _show_application(one, port) for one in applications if one.id != PORTAL_APPLICATION
            ],
            "certificates": [_show_certificate(one, caller, now, language) for one in certificates],
            "factors": len(factors),
            "sessions": [_show_session(one, names, here, now, language) for one in reversed(sessions)],
            "lately": show_activities(activities, context),
            "renewable": portal.options.is_trusted,
            "help_desk": await self._is_of_help_desk(caller),
            "addable": portal.options.is_trusted and caller.kind is PrincipalKind.PERSON,
        }
        return portal.page(request, caller, "home", values)

    async def _name(self, request: Request, caller: Caller) -> Response:
        fields, certificate = await form_of(request), request.path_params["id"]
        name = fields.get("name", "")
        services = self._portal.services
        await self._portal.run(lambda: name_own_device(services, caller.principal_id, certificate, name))
        return redirect("/#certificates")

    async def _renewal(self, request: Request, caller: Caller) -> Response:
        if not await self._has_shown(request, caller):
            return await self._portal.redirect_to_check(caller, "/certificates/renew")
        context = {
            "offered": self._portal.options.is_trusted,
            "devices": list_devices(language_of(request)),
        }
        return self._portal.page(request, caller, "renew_here", context)

    async def _renew(self, request: Request, caller: Caller) -> Response:
        csr, services = await read_request(request), self._portal.services
        if not await self._has_shown(request, caller):
            raise RequestRefused(
                "factor-check-needed",
                "this needs a new check of your strongest factor",
                hint="load the page again",
            )
        issued = await self._portal.run(
            lambda: renew_own_certificate(services, caller.certificate_id, csr, actor=caller.principal_id)
        )
        return render_issued(issued, wants_json=True)

    async def _ask_lost(self, request: Request, caller: Caller) -> Response:
        portal, language = self._portal, language_of(request)
        services, certificate = portal.services, request.path_params["id"]
        found = await portal.run(lambda: find_own_certificate(services, caller.principal_id, certificate))
        if not await self._has_shown(request, caller):
            return await self._portal.redirect_to_check(caller, f"/certificates/{found.record.id}/lost")
        context = {"certificate": _show_certificate(found, caller, services.clock.now(), language)}
        return portal.page(request, caller, "lost", context)

    async def _lose(self, request: Request, caller: Caller) -> Response:
        portal, services = self._portal, self._portal.services
        found = await portal.run(
            lambda: find_own_certificate(services, caller.principal_id, request.path_params["id"])
        )
        if not await self._has_shown(request, caller):
            return await self._portal.redirect_to_check(caller, f"/certificates/{found.record.id}/lost")

        def lose() -> object:
            present = caller.certificate_id
            return report_lost(services, caller.principal_id, found.record.id, present=present)

        if found.record.id != caller.certificate_id:
            await portal.run(lose)
            return redirect("/#certificates")
        self._soon(lose)
        return portal.pages.message(
            request,
            title=mark("This device has no access any more"),
            text=mark("Its certificate is withdrawn, and its connections are being closed."),
            hint=mark("With your passkey you get a new certificate, here or on another device."),
            action=("/renew", mark("Get a new one")),
        )

    async def _end_session(self, request: Request, caller: Caller) -> Response:
        services, session = self._portal.services, request.path_params["id"]
        await self._portal.run(
            lambda: end_session(services, session, of=caller.principal_id, actor=caller.principal_id)
        )
        return redirect("/#sessions")

    async def _sign_out(self, request: Request, caller: Caller) -> Response:
        services = self._portal.services
        self._soon(lambda: sign_out(services, caller.principal_id, actor=caller.principal_id))
        return self._portal.page(
            request, caller, "signing_out", {"to": "/"}, cookies=(removed_portal_cookie(),)
        )

    def _soon(self, work: Callable[[], object]) -> None:
        """Run work that cuts this connection, shortly after the answer; also if the person closes the page before."""

        async def do() -> None:
            await asyncio.sleep(CUT_DELAY_SECONDS)
            await self._portal.run(work)

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _is_of_help_desk(self, caller: Caller) -> bool:
        desk = self._desk
        return desk is not None and await self._portal.run(lambda: desk.is_open_to(caller))

    async def _has_shown(self, request: Request, caller: Caller) -> bool:
        return await self._factors.has_shown(request, caller, within=FRESH)


def _today(
    certificates: Sequence[OwnCertificate],
    caller: Caller,
    now: datetime,
    language: str,
    *,
    has_factors: bool,
) -> list[dict[str, Any]]:
    """Return the notes at the top of the page: each has a kind, a text, and a link with its text.

    `has_factors`: whether the person has a second factor, or another note already says that one is missing.
    """
    found = []
    present = next((one for one in certificates if one.record.id == caller.certificate_id), None)
    found += [
        {
            "kind": "soon",
            "text": translate(mark("Another device got a certificate in your name:"), language),
            "when": render_moment_with_distance(one.record.created_at, now, language),
            "href": f"/certificates/{one.record.id}/lost",
            "act": translate(mark("It was not me"), language),
        }
        for one in certificates
        if one.is_usable and one is not present and now - one.record.created_at < NEW
    ]
    others = [one for one in certificates if one.status is OwnCertificateStatus.GOOD and one is not present]
    if present is not None and present.status is OwnCertificateStatus.SOON and not others:
        found.append(
            {
                "kind": "soon",
                "text": translate(mark("The certificate of this device ends soon:"), language),
                "when": render_moment_with_distance(present.record.not_after, now, language),
                "href": "/certificates/renew",
                "act": translate(mark("Renew it now"), language),
            }
        )
    elif present is not None and present.is_usable and present.is_asked_for:
        found.append(
            {
                "kind": "soon",
                "text": translate(
                    mark(
                        "Your certificate authority gets a new key: the certificate of this device needs a successor."
                    ),
                    language,
                ),
                "when": "",
                "href": "/certificates/renew",
                "act": translate(mark("Renew it now"), language),
            }
        )
    if not has_factors:
        found.append(
            {
                "kind": "soon",
                "text": translate(
                    mark(
                        "You have no second factor. Some applications ask for one, and it helps you to get a new certificate if this device is lost."
                    ),
                    language,
                ),
                "when": "",
                "href": "/factors",
                "act": translate(mark("Add one"), language),
            }
        )
    return found


def _show_application(one: OwnApplication, port: int) -> dict[str, str]:
    return {"name": one.name, "href": f"https://{with_port(one.host, port)}/", "host": one.host}


def _show_certificate(one: OwnCertificate, caller: Caller, now: datetime, language: str) -> Mapping[str, Any]:
    kind, word = _STATUSES[one.status]
    ended = one.record.revoked_at or one.record.not_after
    return {
        "id": one.record.id,
        "name": one.name,
        "title": one.name or translate(mark("A device without a name"), language),
        "here": one.record.id == caller.certificate_id,
        "kind": kind,
        "word": translate(word, language),
        "usable": one.is_usable,
        "lost": one.lost_at is not None,
        "when": render_moment_with_distance(
            ended if not one.is_usable else one.record.not_after, now, language
        ),
        "since": render_moment_with_distance(one.record.not_before, now, language),
        "serial": f"{one.record.serial:x}"[-8:],
    }


def _show_session(
    one: SessionRecord,
    names: Mapping[str, str],
    here: SessionRecord | None,
    now: datetime,
    language: str,
) -> dict[str, Any]:
    portal = one.application_id == PORTAL_APPLICATION
    return {
        "id": one.id,
        "application": translate(mark("This portal"), language)
        if portal
        else names.get(one.application_id, one.application_id),
        "client": name_client(one.client, language),
        "source": one.source,
        "since": render_moment_with_distance(one.created_at, now, language),
        "here": here is not None and one.id == here.id,
    }

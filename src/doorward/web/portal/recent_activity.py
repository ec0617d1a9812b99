"""Recent activity as text, and the page behind "It was not me".

    GET  /lately/{key}    one activity, and what to do if it was somebody else

The page changes nothing: each button leads to a route with its own confirmation and its own check of a factor.
Not here: collecting the activity (directory.account_activity), and the actions (home, enrolling).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from doorward.access.own_applications import list_own_applications
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.account_activity import AccountActivity, ActivityKind, find_activity, select_shown
from doorward.directory.callers import Caller
from doorward.directory.own_certificates import OwnCertificate, list_own_certificates
from doorward.web.guard import GuardedRoute
from doorward.web.look.dates import render_moment_with_distance
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import mark, translate
from doorward.web.portal.clients import name_client
from doorward.web.portal.context import PortalContext

NEW = timedelta(days=7)
"""How long a sign-in from an unknown place is shown at the top of the first page."""

_FACTORS = {
    FactorKind.WEBAUTHN: mark("Passkey"),
    FactorKind.TOTP: mark("Code from an app"),
    FactorKind.PASSWORD: mark("Password"),
    FactorKind.RECOVERY: mark("Recovery codes"),
}
_TITLES = {
    ActivityKind.SIGNED_IN: mark("Sign-in: %(thing)s"),
    ActivityKind.FACTOR_ADDED: mark("A way to sign in was added: %(thing)s"),
    ActivityKind.FACTOR_USED: mark("A way to sign in was used: %(thing)s"),
    ActivityKind.FACTOR_REMOVED: mark("A way to sign in was removed: %(thing)s"),
    ActivityKind.FACTORS_RESET: mark("All your ways to sign in were removed"),
    ActivityKind.CERTIFICATE_ISSUED: mark("A certificate was made: %(thing)s"),
    ActivityKind.LINK_MADE: mark("A link for another device was made"),
    ActivityKind.CERTIFICATE_RENEWED: mark("A certificate was renewed: %(thing)s"),
    ActivityKind.CERTIFICATE_WITHDRAWN: mark("A certificate was withdrawn: %(thing)s"),
}
_STATES = {
    ActivityKind.SIGNED_IN: ("good", mark("open")),
    ActivityKind.FACTOR_ADDED: ("soon", mark("added")),
    ActivityKind.FACTOR_USED: ("good", mark("used")),
    ActivityKind.FACTOR_REMOVED: ("bad", mark("removed")),
    ActivityKind.FACTORS_RESET: ("bad", mark("removed")),
    ActivityKind.CERTIFICATE_ISSUED: ("soon", mark("new")),
    ActivityKind.LINK_MADE: ("soon", mark("open")),
    ActivityKind.CERTIFICATE_RENEWED: ("good", mark("renewed")),
    ActivityKind.CERTIFICATE_WITHDRAWN: ("bad", mark("withdrawn")),
}
_UNKNOWN_PLACE, _OVER = ("soon", mark("unknown place")), ("ended", mark("over"))
_EXPLAINED = {
    ActivityKind.SIGNED_IN: mark(
        "Somebody with your certificate and one of your ways to sign in did this. Report that device lost: it loses access to all applications within a second."
    ),
    ActivityKind.FACTOR_ADDED: mark(
        "Somebody who has it can sign in as you at every application that asks for a second factor."
    ),
    ActivityKind.FACTOR_USED: mark("Somebody else may have it. Remove it, and add another one."),
    ActivityKind.FACTOR_REMOVED: mark(
        "You were signed out everywhere at that time. Check your ways to sign in, and add what is missing."
    ),
    ActivityKind.FACTORS_RESET: mark(
        "You were signed out everywhere at that time. If you did not ask for this, somebody may have asked in your name."
    ),
    ActivityKind.CERTIFICATE_ISSUED: mark("With this certificate another device has access in your name."),
    ActivityKind.LINK_MADE: mark(
        "Until the link is used or expires, another device can get one certificate in your name with it."
    ),
    ActivityKind.CERTIFICATE_RENEWED: mark(
        "With this certificate a device keeps access in your name for longer."
    ),
    ActivityKind.CERTIFICATE_WITHDRAWN: mark(
        "That device has no access any more. With your passkey you get a new certificate."
    ),
}
_REMOVABLE = {ActivityKind.FACTOR_ADDED, ActivityKind.FACTOR_USED}
_LOST_FACTOR = {ActivityKind.FACTOR_REMOVED, ActivityKind.FACTORS_RESET}
_SHOWN_OVER = {ActivityKind.SIGNED_IN, ActivityKind.LINK_MADE}
_TELLS_BY_WHOM = {*_LOST_FACTOR, ActivityKind.FACTOR_ADDED, ActivityKind.LINK_MADE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityContext:
    """The values for rendering activities: names of applications, own certificates, the time and the language."""

    applications: Mapping[str, str]
    certificates: Mapping[str, OwnCertificate]
    now: datetime
    language: str

    def translate(self, text: str, **values: object) -> str:
        """Return a text translated into the language of the page."""
        return translate(text, self.language, **values)


class ActivityRoutes:
    """The route of the page about one activity.

    Args:
        portal: the portal.
    """

    def __init__(self, portal: PortalContext) -> None:
        self._portal = portal

    def route_table(self) -> Sequence[GuardedRoute]:
        """Return the routes."""
        return (GuardedRoute(method="GET", path="/lately/{key}", answer=self._show_one),)

    async def _show_one(self, request: Request, caller: Caller) -> Response:
        portal, services = self._portal, self._portal.services
        found = await portal.run(
            lambda: find_activity(services, caller.principal_id, request.path_params["key"])
        )
        if found is None:
            return portal.pages.message(
                request,
                title=mark("This is not in the list any more"),
                text=mark("The list covers two weeks, and contains only your own events."),
                action=("/", mark("Back to my portal")),
                status=404,
            )
        certificates = await portal.run(lambda: list_own_certificates(services, caller.principal_id))
        applications = await portal.run(
            lambda: list_own_applications(
                services,
                portal.snapshots,
                principal=caller.name,
                certificate_id=caller.certificate_id,
                source=caller.source,
            )
        )
        context = ActivityContext(
            applications={one.id: one.name for one in applications},
            certificates={one.record.id: one for one in certificates},
            now=services.clock.now(),
            language=language_of(request),
        )
        device = context.certificates.get(found.certificate_id)
        values = {
            "activity": show_activity(found, context),
            "explained": context.translate(_EXPLAINED[found.kind]),
            "lost": device.record.id if device is not None and device.is_usable else "",
            "remove": found.subject_id if found.kind in _REMOVABLE else "",
            "look": found.kind in _LOST_FACTOR,
            "withdraw": found.subject_id
            if found.kind is ActivityKind.LINK_MADE and found.by_self and not found.is_over
            else "",
        }
        return portal.page(request, caller, "not_me", values)


def show_activities(activities: Sequence[AccountActivity], context: ActivityContext) -> list[dict[str, Any]]:
    """Return the values of the activities that the first page shows."""
    return [show_activity(one, context) for one in select_shown(activities)]


def note_unknown_sign_ins(
    activities: Iterable[AccountActivity], caller: Caller, context: ActivityContext
) -> list[dict[str, Any]]:
    """Return a note for each recent sign-in from an unknown place, except for the caller's own place."""
    here = (caller.certificate_id, caller.source, caller.client)
    return [
        {
            "kind": "soon",
            "text": context.translate(
                mark("Somebody signed in as you from a place and a browser that you never used before:")
            ),
            "when": render_moment_with_distance(one.at, context.now, context.language),
            "href": f"/lately/{one.key}",
            "act": context.translate(mark("It was not me")),
        }
        for one in activities
        if one.is_from_unknown_place
        and context.now - one.at < NEW
        and (one.certificate_id, one.source, one.client) != here
    ]


def show_activity(one: AccountActivity, context: ActivityContext) -> dict[str, Any]:
    """Return the values that a page shows of one activity."""
    kind, word = _STATES[one.kind]
    if one.is_from_unknown_place:
        kind, word = _UNKNOWN_PLACE
    elif one.kind in _SHOWN_OVER and one.is_over:
        kind, word = _OVER
    return {
        "key": one.key,
        "kind": kind,
        "word": context.translate(word),
        "title": context.translate(_TITLES[one.kind], thing=_name_thing(one, context)),
        "details": ", ".join(_list_details(one, context)),
        "when": render_moment_with_distance(one.at, context.now, context.language),
        "reference": one.subject_id,
    }


def _name_thing(one: AccountActivity, context: ActivityContext) -> str:
    if one.factor_kind is not None:
        word = context.translate(_FACTORS[one.factor_kind])
        return f"{word} ({one.name})" if one.name else word
    if one.kind is not ActivityKind.SIGNED_IN:
        return _name_device(one, context)
    if one.application_id == PORTAL_APPLICATION:
        return context.translate(mark("This portal"))
    return context.applications.get(one.application_id, one.application_id)


def _name_device(one: AccountActivity, context: ActivityContext) -> str:
    device = context.certificates.get(one.certificate_id)
    return (
        device.name
        if device is not None and device.name
        else context.translate(mark("A device without a name"))
    )


def _list_details(one: AccountActivity, context: ActivityContext) -> list[str]:
    if one.kind is ActivityKind.SIGNED_IN:
        client = name_client(one.client, context.language)
        return [client, *filter(None, [one.source]), _name_device(one, context)]
    if one.kind in _TELLS_BY_WHOM:
        return [context.translate(mark("in your name") if one.by_self else mark("by an administrator"))]
    return []

"""What happened lately, in words, and the page behind "It was not me".

    GET  /lately/{key}    what one of them was, and what mends it if it was somebody else

The page changes nothing: each of its buttons leads to a route that has its own question, and its own check of a factor.
Not here: what happened (directory.happenings), and the mending itself (mine, enrolling).
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
from doorward.directory.callers import Caller
from doorward.directory.happenings import Happening, What, choose_shown, find_happening
from doorward.directory.own_certificates import OwnCertificate, list_own_certificates
from doorward.web.guard import GuardedRoute
from doorward.web.look.dates import tell_when
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import mark, translate
from doorward.web.portal.clients import name_client
from doorward.web.portal.context import PortalContext

NEW = timedelta(days=7)
"""How long a sign-in from an unknown place is shown among what needs a person today."""

_FACTORS = {
    FactorKind.WEBAUTHN: mark("Passkey"),
    FactorKind.TOTP: mark("Code from an app"),
    FactorKind.PASSWORD: mark("Password"),
    FactorKind.RECOVERY: mark("Recovery codes"),
}
_TITLES = {
    What.SIGNED_IN: mark("Sign-in: %(thing)s"),
    What.FACTOR_ADDED: mark("A way to sign in was added: %(thing)s"),
    What.FACTOR_USED: mark("A way to sign in was used: %(thing)s"),
    What.FACTOR_REMOVED: mark("A way to sign in was removed: %(thing)s"),
    What.FACTORS_RESET: mark("All your ways to sign in were removed"),
    What.CERTIFICATE_ISSUED: mark("A certificate was made: %(thing)s"),
    What.LINK_MADE: mark("A link for another device was made"),
    What.CERTIFICATE_RENEWED: mark("A certificate was renewed: %(thing)s"),
    What.CERTIFICATE_WITHDRAWN: mark("A certificate was withdrawn: %(thing)s"),
}
_STATES = {
    What.SIGNED_IN: ("good", mark("open")),
    What.FACTOR_ADDED: ("soon", mark("added")),
    What.FACTOR_USED: ("good", mark("used")),
    What.FACTOR_REMOVED: ("bad", mark("removed")),
    What.FACTORS_RESET: ("bad", mark("removed")),
    What.CERTIFICATE_ISSUED: ("soon", mark("new")),
    What.LINK_MADE: ("soon", mark("open")),
    What.CERTIFICATE_RENEWED: ("good", mark("renewed")),
    What.CERTIFICATE_WITHDRAWN: ("bad", mark("withdrawn")),
}
_STRANGE, _OVER = ("soon", mark("unknown place")), ("ended", mark("over"))
_EXPLAINED = {
    What.SIGNED_IN: mark(
        "Somebody with your certificate and one of your ways to sign in did this. Report that device lost: it is out of all "
        "applications within a second."
    ),
    What.FACTOR_ADDED: mark("With it, somebody could pass for you wherever a second factor is asked for."),
    What.FACTOR_USED: mark("Somebody else may have it. Remove it, and add another one."),
    What.FACTOR_REMOVED: mark(
        "You were signed out everywhere then. Look at what is left, and add what is missing."
    ),
    What.FACTORS_RESET: mark(
        "You were signed out everywhere then. If you did not ask for this, somebody may have asked in your name."
    ),
    What.CERTIFICATE_ISSUED: mark("With it, another device comes through the door as you."),
    What.LINK_MADE: mark(
        "While it is open, another device can get a certificate in your name with it, once."
    ),
    What.CERTIFICATE_RENEWED: mark("With it, a device comes through the door as you for longer."),
    What.CERTIFICATE_WITHDRAWN: mark("That device is out. With your passkey you get a new certificate."),
}
_REMOVABLE = {What.FACTOR_ADDED, What.FACTOR_USED}
_LOST_FACTOR = {What.FACTOR_REMOVED, What.FACTORS_RESET}
_SHOWN_OVER = {What.SIGNED_IN, What.LINK_MADE}
_TELLS_BY_WHOM = {*_LOST_FACTOR, What.FACTOR_ADDED, What.LINK_MADE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is needed to tell a person of it: names of applications, own certificates, the moment and the language."""

    applications: Mapping[str, str]
    certificates: Mapping[str, OwnCertificate]
    now: datetime
    language: str

    def say(self, text: str, **values: object) -> str:
        """Return a text in the language of the page."""
        return translate(text, self.language, **values)


class Lately:
    """The page of one thing that happened.

    Args:
        portal: the portal.
    """

    def __init__(self, portal: PortalContext) -> None:
        self._portal = portal

    def route_table(self) -> Sequence[GuardedRoute]:
        """Return the routes."""
        return (GuardedRoute(method="GET", path="/lately/{key}", answer=self._not_me),)

    async def _not_me(self, request: Request, caller: Caller) -> Response:
        portal, services = self._portal, self._portal.services
        found = await portal.run(
            lambda: find_happening(services, caller.principal_id, request.path_params["key"])
        )
        if found is None:
            return portal.pages.message(
                request,
                title=mark("This is not in the list any more"),
                text=mark("The list goes back two weeks, and tells of what is yours."),
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
        telling = Telling(
            applications={one.id: one.name for one in applications},
            certificates={one.record.id: one for one in certificates},
            now=services.clock.now(),
            language=language_of(request),
        )
        device = telling.certificates.get(found.certificate_id)
        context = {
            "happening": show_happening(found, telling),
            "explained": telling.say(_EXPLAINED[found.what]),
            "lost": device.record.id if device is not None and device.is_usable else "",
            "remove": found.about if found.what in _REMOVABLE else "",
            "look": found.what in _LOST_FACTOR,
            "withdraw": found.about
            if found.what is What.LINK_MADE and found.by_self and not found.is_over
            else "",
        }
        return portal.page(request, caller, "not_me", context)


def list_shown(happenings: Sequence[Happening], telling: Telling) -> list[dict[str, Any]]:
    """Return what the first page shows of them."""
    return [show_happening(one, telling) for one in choose_shown(happenings)]


def tell_strange(happenings: Iterable[Happening], caller: Caller, telling: Telling) -> list[dict[str, Any]]:
    """Return a note for each sign-in from an unknown place, but for one from here."""
    here = (caller.certificate_id, caller.source, caller.client)
    return [
        {
            "kind": "soon",
            "text": telling.say(
                mark("Somebody signed in as you from a place and a browser that you never used before:")
            ),
            "when": tell_when(one.at, telling.now, telling.language),
            "href": f"/lately/{one.key}",
            "act": telling.say(mark("It was not me")),
        }
        for one in happenings
        if one.is_strange
        and telling.now - one.at < NEW
        and (one.certificate_id, one.source, one.client) != here
    ]


def show_happening(one: Happening, telling: Telling) -> dict[str, Any]:
    """Return what a page shows of it: a state, a title, details, when, and its address."""
    kind, word = _STATES[one.what]
    if one.is_strange:
        kind, word = _STRANGE
    elif one.what in _SHOWN_OVER and one.is_over:
        kind, word = _OVER
    return {
        "key": one.key,
        "kind": kind,
        "word": telling.say(word),
        "title": telling.say(_TITLES[one.what], thing=_name_thing(one, telling)),
        "details": ", ".join(_list_details(one, telling)),
        "when": tell_when(one.at, telling.now, telling.language),
        "reference": one.about,
    }


def _name_thing(one: Happening, telling: Telling) -> str:
    if one.kind is not None:
        word = telling.say(_FACTORS[one.kind])
        return f"{word} ({one.name})" if one.name else word
    if one.what is not What.SIGNED_IN:
        return _name_device(one, telling)
    if one.application_id == PORTAL_APPLICATION:
        return telling.say(mark("This portal"))
    return telling.applications.get(one.application_id, one.application_id)


def _name_device(one: Happening, telling: Telling) -> str:
    device = telling.certificates.get(one.certificate_id)
    return device.name if device is not None and device.name else telling.say(mark("A device without a name"))


def _list_details(one: Happening, telling: Telling) -> list[str]:
    if one.what is What.SIGNED_IN:
        client = name_client(one.client, telling.language)
        return [client, *filter(None, [one.source]), _name_device(one, telling)]
    if one.what in _TELLS_BY_WHOM:
        return [telling.say(mark("in your name") if one.by_self else mark("by an administrator"))]
    return []

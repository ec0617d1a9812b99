"""Every state in which a person sees a page instead of an application: what happened, why, and what to do.

One table for pages of the door (`surface`), Envoy's own replies (`replies`), the portal, and problem documents for
programs. A title has at most eight words. No page says which rule refused, whether an account exists, or why a person is
suspended.

Texts are English; `%(name)s` are values; the translations are in `web/locale`.
Standard: RFC 9457 (the name of a state is the last segment of `type`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from doorward.core.entities import Reason
from doorward.web.look.rendering import mark


class ActionTarget(Enum):
    """The target of a button or link; targets that an installation does not have are not shown."""

    RENEW = "renew"  # the portal's page for a new certificate
    PORTAL = "portal"  # the portal's first page, with the person's applications
    ANOTHER = "another"  # the part of the page about using another certificate
    AGAIN = "again"  # this page again
    ROOT = "root"  # the application's first page
    HELP = "help"  # the help address of the brand


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAction:
    """A button or a link: its text and its target."""

    words: str
    target: ActionTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """One state.

    Args:
        status: the HTTP status (RFC 9110).
        icon: a name in `web.look.assets.ICONS`.
        tone: "" if all is well, `soon` if something needs attention, `bad` if something was stopped.
        title: what happened.
        why: one or two sentences.
        button: the main action; further entries replace it if the installation does not have its target.
        links: other actions; at most two are shown.
        reloads: seconds after which the page reloads; the last number is repeated. Empty if it does not reload.
    """

    status: int
    icon: str
    tone: str
    title: str
    why: str
    button: tuple[PageAction, ...] = ()
    links: tuple[PageAction, ...] = ()
    reloads: tuple[int, ...] = ()


_RENEW = PageAction(words=mark("Get or renew a certificate"), target=ActionTarget.RENEW)
_NEW = PageAction(words=mark("Get a new one"), target=ActionTarget.RENEW)
_ANOTHER = PageAction(words=mark("Use another certificate"), target=ActionTarget.ANOTHER)
_CHOOSE = PageAction(words=mark("Choose again"), target=ActionTarget.ANOTHER)
_HELP = PageAction(words=mark("Ask the help desk"), target=ActionTarget.HELP)
_AGAIN = PageAction(words=mark("Try again"), target=ActionTarget.AGAIN)
_LOAD = PageAction(words=mark("Load the page again"), target=ActionTarget.AGAIN)
_OPEN = PageAction(words=mark("Open %(application)s"), target=ActionTarget.ROOT)
_PORTAL = PageAction(words=mark("My applications"), target=ActionTarget.PORTAL)
_CONTINUE = PageAction(words=mark("Continue"), target=ActionTarget.AGAIN)

STATES: Mapping[str, PageState] = MappingProxyType(
    {
        # The browser's certificate
        "certificate-missing": PageState(
            status=403,
            icon="door",
            tone="",
            title=mark("This door needs your certificate"),
            why=mark(
                "Your browser did not send a certificate. Possible reasons: this device has none yet, the certificate has ended and the browser hides it, or “Cancel” was pressed."
            ),
            button=(_RENEW, _HELP),
            links=(_CHOOSE,),
        ),
        "certificate-ended": PageState(
            status=403,
            icon="clock",
            tone="soon",
            title=mark("Your certificate has ended"),
            why=mark("It was valid until %(until)s. You can get a new one in a minute."),
            button=(PageAction(words=mark("Renew now"), target=ActionTarget.RENEW), _HELP),
            links=(_ANOTHER,),
        ),
        "certificate-not-yet-valid": PageState(
            status=403,
            icon="clock",
            tone="soon",
            title=mark("Your certificate is not valid yet"),
            why=mark("It is valid from %(since)s. Our clock says %(now)s."),
            button=(_AGAIN,),
            links=(_ANOTHER, _HELP),
        ),
        "certificate-withdrawn": PageState(
            status=403,
            icon="shield",
            tone="bad",
            title=mark("This certificate was withdrawn"),
            why=mark("It gives no access any more. If you did not withdraw it, tell the help desk now."),
            button=(_NEW, _HELP),
            links=(_ANOTHER, _HELP),
        ),
        "certificate-on-hold": PageState(
            status=403,
            icon="shield",
            tone="soon",
            title=mark("This certificate is on hold"),
            why=mark("It can be released again. The help desk can tell you more."),
            button=(_HELP, _AGAIN),
            links=(_ANOTHER,),
        ),
        "certificate-from-elsewhere": PageState(
            status=403,
            icon="key",
            tone="soon",
            title=mark("This certificate is from another issuer"),
            why=mark("It was issued by “%(issuer)s”. This door accepts certificates of %(organisation)s."),
            button=(_ANOTHER,),
            links=(PageAction(words=mark("Get a certificate"), target=ActionTarget.RENEW), _HELP),
        ),
        "certificate-purpose": PageState(
            status=403,
            icon="key",
            tone="soon",
            title=mark("This certificate is not for signing in"),
            why=mark("It was made for something else, such as a server or mail."),
            button=(_ANOTHER,),
            links=(PageAction(words=mark("Get a certificate"), target=ActionTarget.RENEW), _HELP),
        ),
        "certificate-unchecked": PageState(
            status=403,
            icon="clock",
            tone="soon",
            title=mark("Your certificate could not be checked"),
            why=mark("Its issuer does not answer at the moment. The fault is not yours."),
            button=(_AGAIN,),
            links=(_ANOTHER, _HELP),
            reloads=(30,),
        ),
        # The person
        "access-paused": PageState(
            status=403,
            icon="person",
            tone="soon",
            title=mark("Your access is paused"),
            why=mark("Nothing is wrong with this device. The help desk can tell you more."),
            button=(_HELP, _AGAIN),
            links=(_ANOTHER,),
        ),
        "not-allowed": PageState(
            status=403,
            icon="door",
            tone="soon",
            title=mark("You cannot open this in %(application)s"),
            why=mark("You are signed in as %(who)s, and you have no permission for this."),
            button=(_PORTAL, _OPEN),
            links=(_ANOTHER, _HELP),
        ),
        "one-more-step": PageState(
            status=401,
            icon="safe",
            tone="",
            title=mark("One more step"),
            why=mark("%(application)s asks you to confirm that it is you."),
            button=(_CONTINUE,),
            links=(_HELP,),
        ),
        "two-certificates": PageState(
            status=403,
            icon="person",
            tone="soon",
            title=mark("Two different certificates"),
            why=mark(
                "You use one certificate for %(application)s and a different one for this page. Use the same certificate for both."
            ),
            button=(_ANOTHER,),
            links=(_HELP,),
        ),
        "please-wait": PageState(
            status=429,
            icon="clock",
            tone="soon",
            title=mark("Please wait a little"),
            why=mark("Too many requests came from you at once. This request was not passed on."),
            button=(_AGAIN,),
            links=(_HELP,),
            reloads=(5, 10, 20),
        ),
        # The request
        "from-another-site": PageState(
            status=403,
            icon="shield",
            tone="bad",
            title=mark("This request came from another website"),
            why=mark(
                "Another website tried to do something in %(application)s in your name. Its request was stopped."
            ),
            button=(_OPEN,),
            links=(_HELP,),
        ),
        "cookies-too-large": PageState(
            status=431,
            icon="plug",
            tone="soon",
            title=mark("Too many cookies for this site"),
            why=mark(
                "Your browser sent more data than %(application)s accepts, usually because of old cookies. Remove the cookies of this site in the settings of your browser, then load the page again."
            ),
            button=(_LOAD,),
            links=(_HELP,),
        ),
        "other-address": PageState(
            status=421,
            icon="plug",
            tone="",
            title=mark("Please load this page again"),
            why=mark("Your browser used a connection that belongs to another application."),
            button=(_LOAD,),
        ),
        "not-understood": PageState(
            status=400,
            icon="plug",
            tone="soon",
            title=mark("This address cannot be opened"),
            why=mark("The request can be read in two ways, so it was not passed on to %(application)s."),
            button=(_OPEN,),
            links=(_HELP,),
        ),
        "nothing-here": PageState(
            status=404,
            icon="door",
            tone="",
            title=mark("There is nothing here"),
            why=mark("The address may be misspelt, or the page was moved."),
            button=(_OPEN,),
        ),
        "not-offered": PageState(
            status=405,
            icon="plug",
            tone="soon",
            title=mark("This cannot be done here"),
            why=mark("The request asks for something that is not passed on to %(application)s."),
            button=(_OPEN,),
            links=(_HELP,),
        ),
        "too-slow": PageState(
            status=408,
            icon="clock",
            tone="soon",
            title=mark("The connection was too slow"),
            why=mark("Your request did not arrive in time, so it was not passed on to %(application)s."),
            button=(_AGAIN,),
        ),
        "too-large": PageState(
            status=413,
            icon="plug",
            tone="soon",
            title=mark("This is too large"),
            why=mark("What you sent is larger than %(application)s accepts at once."),
            button=(_OPEN,),
            links=(_HELP,),
        ),
        # The application, the door
        "application-silent": PageState(
            status=503,
            icon="plug",
            tone="soon",
            title=mark("%(application)s does not answer"),
            why=mark(
                "The fault is not yours, and you do not have to sign in again. Try again in a few minutes."
            ),
            button=(_AGAIN,),
            links=(_HELP,),
            reloads=(10, 20, 40),
        ),
        "answer-malformed": PageState(
            status=502,
            icon="plug",
            tone="soon",
            title=mark("%(application)s sent an invalid answer"),
            why=mark("Its answer could not be read. The fault is not yours."),
            button=(_AGAIN,),
            links=(_HELP,),
        ),
        "application-slow": PageState(
            status=504,
            icon="clock",
            tone="soon",
            title=mark("%(application)s took too long"),
            why=mark(
                "The application did not answer in time. If you sent something, first check whether it was done."
            ),
            button=(_AGAIN,),
            links=(_HELP,),
        ),
        "door-starting": PageState(
            status=503,
            icon="door",
            tone="",
            title=mark("One moment"),
            why=mark("The door is starting, or many people use it at once. This page loads again by itself."),
            button=(_AGAIN,),
            reloads=(3, 5, 10),
        ),
        "internal-error": PageState(
            status=500,
            icon="plug",
            tone="bad",
            title=mark("Something went wrong here"),
            why=mark("The fault is ours. Tell the help desk the incident number below."),
            button=(_AGAIN,),
            links=(_HELP,),
        ),
        # The portal
        "link-used": PageState(
            status=410,
            icon="envelope",
            tone="soon",
            title=mark("This link has been used"),
            why=mark("Each link works once. If you did not use it, tell the help desk now."),
            button=(_HELP, _RENEW),
            links=(_RENEW,),
        ),
        "link-over": PageState(
            status=410,
            icon="envelope",
            tone="soon",
            title=mark("This link has expired"),
            why=mark("Links work for a limited time. Ask for a new one."),
            button=(_HELP, _RENEW),
            links=(_RENEW,),
        ),
        "link-unknown": PageState(
            status=404,
            icon="envelope",
            tone="soon",
            title=mark("This link does not work"),
            why=mark("Copy the whole link from your message, with everything after the #."),
            button=(_HELP, _RENEW),
            links=(_RENEW,),
        ),
        "welcome-back": PageState(
            status=401,
            icon="door",
            tone="",
            title=mark("Welcome back"),
            why=mark("You were away for a while, so please confirm again that it is you."),
            button=(_CONTINUE,),
            links=(_HELP,),
        ),
    }
)
"""Name to state; the names are stable, because programs read them in `type`."""

BY_REASON: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.CERTIFICATE_MISSING: "certificate-missing",
        Reason.ANONYMOUS: "certificate-missing",
        Reason.CERTIFICATE_EXPIRED: "certificate-ended",
        Reason.CERTIFICATE_NOT_YET_VALID: "certificate-not-yet-valid",
        Reason.CERTIFICATE_REVOKED: "certificate-withdrawn",
        Reason.CERTIFICATE_ON_HOLD: "certificate-on-hold",
        Reason.PURPOSE_WRONG: "certificate-purpose",
        Reason.REVOCATION_STATUS_UNDETERMINED: "certificate-unchecked",
        Reason.PRINCIPAL_SUSPENDED: "access-paused",
        Reason.PRINCIPAL_REMOVED: "access-paused",
        Reason.PRINCIPAL_UNKNOWN: "access-paused",
        Reason.NO_RULE_MATCHED: "not-allowed",
        Reason.RULE_DENIES: "not-allowed",
        Reason.GRANTS_TOO_LARGE: "not-allowed",
        Reason.APPLICATION_UNKNOWN: "door-starting",
        Reason.KNOWLEDGE_STALE: "door-starting",
        Reason.JUDGEMENT_EXHAUSTED: "please-wait",
        Reason.CERTIFICATE_RATE_EXCEEDED: "please-wait",
        Reason.PRINCIPAL_CONNECTIONS_EXHAUSTED: "please-wait",
    }
)
"""Reason of a refused certificate to the state that its holder sees."""

UNKNOWN_CERTIFICATE = "certificate-from-elsewhere"
"""The state for every other reason: this door does not know the certificate."""


def state_of(refusal: str) -> str:
    """Return the name of the state for a refusal.

    Args:
        refusal: a value of `core.entities.Reason`; any other text means that there was no certificate.
    """
    try:
        return BY_REASON.get(Reason(refusal), UNKNOWN_CERTIFICATE)
    except ValueError:
        return "certificate-missing"

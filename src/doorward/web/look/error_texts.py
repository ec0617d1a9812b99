"""Texts of errors in the reader's language, by error code.

For a code that is not here, the page shows the English texts of the error.
Not here: problem documents for programs (`web.problems`), which are English always.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from doorward.core.errors import DoorwardError
from doorward.web.look.rendering import mark, ngettext, translate

ERROR_TEXTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "certificate-needed": (
            mark("This needs your certificate"),
            mark("Open this page on the device that has your certificate."),
        ),
        "identity-refused": (
            mark("The door could not tell who you are"),
            mark("Load the page again. If you see this message again, tell the help desk."),
        ),
        "origin-wrong": (
            mark("This request came from another website"),
            mark("The request was stopped. Open the page yourself, and try again there."),
        ),
        "factor-refused": (mark("The code, password or passkey was not right"), mark("Try again.")),
        "factor-locked": (
            mark("This factor is locked after too many wrong tries"),
            mark("Use your passkey, or ask the help desk."),
        ),
        "factor-throttled": (mark("Too many tries came just now"), mark("Wait a little, then try again.")),
        "question-over": (
            mark("This page was open for too long, or you sent it already"),
            mark("Load it again."),
        ),
        "enrolment-closed": (
            mark("The time to add a first factor is over"),
            mark("Ask the help desk for a link."),
        ),
        "totp-code-wrong": (
            mark("This is not the code that the app shows now"),
            mark("Wait for the next code and type it. If no code is right, check the clock of the device."),
        ),
        "passkey-unusable": (
            mark("This passkey cannot be used here"),
            mark("Try another device or browser."),
        ),
        "factors-full": (
            mark("You have reached the limit for this kind of factor"),
            mark("Remove one that you do not use."),
        ),
        "factor-too-weak": (
            mark("None of your factors is strong enough to add this one"),
            mark("Ask the help desk for a link."),
        ),
        "factor-required": (
            mark("You must keep one factor of this kind, and this is your only one"),
            mark("Add another one first."),
        ),
        "factor-last": (
            mark("This is your only factor: without it you could not sign in again"),
            mark("Add another one first."),
        ),
        "lookups-too-many": (mark("Too many ids were looked up just now"), mark("Wait a minute.")),
        "device-needs-factor": (
            mark("You have no second factor, and a certificate alone cannot add a device"),
            mark("Add a second factor first."),
        ),
        "device-links-too-many": (
            mark("You made many links for other devices, and used none of them"),
            mark("Wait until tomorrow, or ask the help desk for an invitation."),
        ),
        "invitation-unknown": (
            mark("You have no link with this id"),
            mark("Look at the list on your portal again."),
        ),
        "invitation-not-open": (
            mark("This link no longer works"),
            mark(
                "If another device got a certificate with this link, report that device lost on your portal."
            ),
        ),
        "certificates-too-many": (
            mark("You have reached the limit of valid certificates"),
            mark("Report the devices that you no longer use as lost."),
        ),
        "renewal-not-due": (
            mark("You have a certificate that is still valid"),
            mark(
                "Use that certificate, and renew it on its device. If the device is lost, say so on this page."
            ),
        ),
        "renewal-held": (
            mark("Your certificate is on hold"),
            mark("Ask the help desk why, and when the hold ends."),
        ),
        "renewal-without-certificate": (
            mark("You never had a certificate"),
            mark("Ask the help desk for an invitation."),
        ),
        "renewal-withdrawn": (
            mark("Your certificate was withdrawn by an administrator"),
            mark("Ask the help desk for an invitation."),
        ),
        "renewal-too-late": (
            mark("Your certificate ended too long ago"),
            mark("Ask the help desk for an invitation."),
        ),
        "passkey-refused": (
            mark("This passkey was not accepted"),
            mark("Try another one, or ask the help desk."),
        ),
        "session-code-refused": (
            mark("The link back to the application does not work any more"),
            mark("Open the application again."),
        ),
        "step-up-refused": (
            mark("This request does not come from an application of this door"),
            mark("Open the application again."),
        ),
        "step-up-unknown": (
            mark("This check has expired, or it was started with another certificate"),
            mark("Open the application again."),
        ),
        "password-short": (mark("This password is too short"), mark("Take a few more words.")),
        "password-long": (mark("This password is too long"), mark("Take fewer words.")),
        "password-guessable": (
            mark("This password is easy to guess"),
            mark("Take four or five words that have nothing to do with each other."),
        ),
        "password-breached": (
            mark("This password is in a list of stolen passwords"),
            mark(
                "Attackers try stolen passwords first. Choose another password, and change this one everywhere you use it."
            ),
        ),
    }
)
"""Error code to two texts: what happened, and what to do."""


_LONG = 90
"""From this number of seconds on, a wait is given in minutes, rounded up."""


def render_error_texts(error: DoorwardError, language: str) -> tuple[str, str]:
    """Return two texts, what happened and what to do; the second may be empty."""
    if error.code in ERROR_TEXTS:
        what, mend = ERROR_TEXTS[error.code]
        seconds = error.context.get("retry_after_seconds")
        wait = _tell_wait(seconds, language) if isinstance(seconds, int) else ""
        return translate(what, language), wait or translate(mend, language)
    return _sentence(error.detail), _sentence(error.hint)


def render_error_line(error: DoorwardError, language: str) -> str:
    """Return both texts in one line, for a message beside a form."""
    what, mend = render_error_texts(error, language)
    return f"{what}. {mend}".strip()


def _tell_wait(seconds: int, language: str) -> str:
    if seconds < _LONG:
        return ngettext(
            "You can try again in %(num)d second.",
            "You can try again in %(num)d seconds.",
            language,
            seconds,
        )
    minutes = -(-seconds // 60)
    return ngettext(
        "You can try again in %(num)d minute.",
        "You can try again in %(num)d minutes.",
        language,
        minutes,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"

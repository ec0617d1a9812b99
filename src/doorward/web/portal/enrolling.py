"""A person's second factors: what there is, adding, renaming, removing.

    GET  /factors                the person's factors, and the kinds that can be added
    GET  /factors/{kind}         the page that adds one: webauthn, totp, password, recovery-code
    GET  /enrol                  the page of an administrator's link, with its token after the `#`
    POST /factors/{kind}/begin   the page that adds a factor with that token
    POST /factors/{kind}         add it
    POST /factors/{id}/rename    rename it
    POST /factors/{id}/remove    remove it, and end all sessions

If a change needs a fresh check, the person is led to the check and back to the page. The token of an administrator's link
is kept in the form and never in a URL.
Not here: rules for changes, and the changes themselves (directory.factors).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import NotFound, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.factors.change_rules import require_ticket_or_check
from doorward.directory.factors.enrolling import (
    begin_passkey,
    begin_totp,
    finish_passkey,
    finish_totp,
    make_recovery_codes,
    set_password,
)
from doorward.directory.factors.removing import FactorView, remove_factor, rename_factor
from doorward.directory.portal_sessions import note_factor
from doorward.stores.factor_records import FactorRecord
from doorward.stores.services import Services
from doorward.web.answers import cookie_of, form_of, redirect
from doorward.web.look.dates import render_moment
from doorward.web.look.error_texts import render_error_line
from doorward.web.look.languages import language_of
from doorward.web.portal.context import PORTAL_COOKIE, PortalContext, portal_cookie, removed_portal_cookie
from doorward.web.portal.factors import Fields, PortalFactors
from doorward.web.portal.required import build_missing_factor_notes

T = TypeVar("T")

_KINDS = {kind.value: kind for kind in FactorKind}
_PAGES = {
    FactorKind.WEBAUTHN: "enrol_webauthn",
    FactorKind.TOTP: "enrol_totp",
    FactorKind.PASSWORD: "enrol_password",
    FactorKind.RECOVERY: "enrol_recovery",
}
SHOWN_ON_THE_FORM = frozenset(
    {
        "password-short",
        "password-long",
        "password-guessable",
        "password-breached",
        "totp-code-wrong",
        "passkey-unusable",
        "factor-duplicate",
        "factors-full",
        "question-over",
    }
)
"""Errors that are shown on the same page, where the person can try again."""


class FactorRoutes:
    """The routes of a person's factors.

    Args:
        portal: the portal.
        factors: lists and checks factors.
    """

    def __init__(self, portal: PortalContext, factors: PortalFactors) -> None:
        self._portal = portal
        self._factors = factors

    async def overview(self, request: Request, caller: Caller) -> Response:
        """Show the person's factors."""
        kept, language = await self._factors.own(caller), language_of(request)
        has_ticket = await self._factors.has_ticket(caller)
        has_factor = any(one.kind is not FactorKind.RECOVERY for one in kept)
        context = {
            "factors": [_row(one, language) for one in kept],
            "has_ticket": has_ticket,
            "has_factor": has_factor,
            "codes": sum(one.number for one in kept if one.kind is FactorKind.RECOVERY),
            "usable": self._portal.options.is_trusted,
            "missing": build_missing_factor_notes(await self._factors.missing(caller, kept), language),
        }
        return self._portal.page(request, caller, "factors", context)

    async def form(self, request: Request, caller: Caller) -> Response:
        """Show the page that adds a factor of that kind."""
        return await self._form(request, caller, _kind_of(request), token="", fault="")

    async def begin(self, request: Request, caller: Caller) -> Response:
        """Show the same page with the token of an administrator's link."""
        fields = await form_of(request)
        return await self._form(request, caller, _kind_of(request), token=fields.get("token", ""), fault="")

    async def link(self, request: Request, caller: Caller) -> Response:
        """Show the page of an administrator's link; its token is after the `#`, which browsers do not send."""
        context = {"usable": self._portal.options.is_trusted}
        return self._portal.page(request, caller, "enrol_link", context)

    async def add(self, request: Request, caller: Caller) -> Response:
        """Add a factor."""
        kind, fields = _kind_of(request), await form_of(request)
        token = fields.get("token", "")
        shown = await self._shown(request, caller)
        try:
            if kind is FactorKind.RECOVERY:
                return await self._show_codes(request, caller, shown)
            added = await self._add(caller, kind, fields, shown, token)
        except RequestRefused as refusal:
            if refusal.code in SHOWN_ON_THE_FORM:
                error_line = render_error_line(refusal, language_of(request))
                return await self._form(request, caller, kind, token=token, fault=error_line)
            return await self._check_first(caller, refusal, f"/factors/{kind.value}")
        # Adding a factor is also a check of it.
        former, portal = cookie_of(request, PORTAL_COOKIE), self._portal
        _, cookie = await portal.run(
            lambda: note_factor(
                portal.services, caller, kind, former=former, idle=portal.options.idle, factor_id=added.id
            )
        )
        return redirect("/factors", (portal_cookie(cookie),))

    async def rename(self, request: Request, caller: Caller) -> Response:
        """Give a factor another name."""
        services, factor_id = self._portal.services, request.path_params["id"]
        name = (await form_of(request)).get("name", "")
        await self._portal.run(lambda: rename_factor(services, caller, factor_id, name))
        return redirect("/factors")

    async def remove(self, request: Request, caller: Caller) -> Response:
        """Remove a factor."""
        services, factor_id = self._portal.services, request.path_params["id"]
        await form_of(request)
        shown = await self._shown(request, caller)
        try:
            await self._portal.run(lambda: remove_factor(services, caller, factor_id, shown=shown))
        except RequestRefused as refusal:
            return await self._check_first(caller, refusal, "/factors")
        return redirect("/factors", (removed_portal_cookie(),))

    async def _form(
        self, request: Request, caller: Caller, kind: FactorKind, *, token: str, fault: str
    ) -> Response:
        shown = await self._shown(request, caller)
        try:
            more = await self._begin(caller, kind, shown, token)
        except RequestRefused as refusal:
            return await self._check_first(caller, refusal, f"/factors/{kind.value}")
        context = {"fault": fault, "token": token, "usable": self._portal.options.is_trusted, **more}
        return self._portal.page(request, caller, _PAGES[kind], context, status=403 if fault else 200)

    async def _begin(
        self, caller: Caller, kind: FactorKind, shown: ShownFactors, token: str
    ) -> dict[str, Any]:
        """Return the values for the page of that kind."""
        context = await self._factors.context()
        if kind is FactorKind.WEBAUTHN:
            asked = await self._run(lambda: begin_passkey(context, caller, shown=shown, token=token))
            return {"question": asked.id, "options": json.dumps(asked.options)}
        if kind is FactorKind.TOTP:
            offer = await self._run(lambda: begin_totp(context, caller, shown=shown, token=token))
            return {"offer": offer.id, "secret": offer.secret, "qr": render_qr_code(offer.uri)}
        if kind is FactorKind.PASSWORD:
            await self._run(lambda: require_may_add(context.services, caller, kind, shown=shown, token=token))
        return {}

    async def _add(
        self, caller: Caller, kind: FactorKind, fields: Fields, shown: ShownFactors, token: str
    ) -> FactorRecord:
        context, name = await self._factors.context(), fields.get("name", "")
        if kind is FactorKind.WEBAUTHN:
            question, answer = fields.get("question", ""), fields.get("credential", "")
            return await self._run(
                lambda: finish_passkey(context, caller, question, answer, name=name, shown=shown, token=token)
            )
        if kind is FactorKind.TOTP:
            offer, code = fields.get("offer", ""), fields.get("code", "")
            return await self._run(
                lambda: finish_totp(context, caller, offer, code, name=name, shown=shown, token=token)
            )
        text = fields.get("password", "")
        return await self._portal.run_slow(
            lambda: set_password(context, caller, text, shown=shown, token=token)
        )

    async def _show_codes(self, request: Request, caller: Caller, shown: ShownFactors) -> Response:
        context = await self._factors.context()
        codes = await self._run(lambda: make_recovery_codes(context, caller, shown=shown))
        return self._portal.page(
            request, caller, "enrol_recovery", {"codes": codes, "fault": "", "token": ""}
        )

    async def _check_first(self, caller: Caller, refusal: RequestRefused, back: str) -> Response:
        """Lead to the required check and back; raise any other refusal, which becomes a page."""
        if refusal.code != "factor-check-needed":
            raise refusal
        return await self._portal.redirect_to_check(caller, back)

    async def _shown(self, request: Request, caller: Caller) -> ShownFactors:
        session = await self._portal.session(request, caller)
        return ShownFactors.of(session.factors if session else {})

    async def _run(self, call: Callable[[], T]) -> T:
        return await self._portal.run(call)


def require_may_add(
    services: Services, caller: Caller, kind: FactorKind, *, shown: ShownFactors, token: str
) -> None:
    """Return if the caller may add a factor of that kind now; raises as `require_ticket_or_check`."""
    with services.work.read() as stores:
        require_ticket_or_check(stores, caller, kind, shown=shown, token=token, now=services.clock.now())


def render_qr_code(uri: str) -> Markup:
    """Return a QR code as an inline SVG element without style attributes."""
    svg = segno.make(uri, error="m").svg_inline(
        scale=4, border=2, omitsize=True, svgclass=None, lineclass=None
    )
    return Markup(svg)  # noqa: S704  segno's SVG contains the text only as squares


def _row(one: FactorView, language: str) -> dict[str, Any]:
    """Return the values that the page shows of a factor."""
    return {
        "id": one.id,
        "kind": one.kind.value,
        "name": one.name,
        "number": one.number,
        "lost": one.lost,
        "created": render_moment(one.created_at, language),
        "used": render_moment(one.last_used_at, language) if one.last_used_at else "",
    }


def _kind_of(request: Request) -> FactorKind:
    kind = _KINDS.get(request.path_params["kind"])
    if kind is None:
        raise NotFound("path-unknown", "there is no such page here")
    return kind

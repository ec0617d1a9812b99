"""Second factors at the portal: listing and checking them, shared by several routes.

Not here: the checks themselves (directory.factors), pages (checks, enrolling).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from starlette.requests import Request

from doorward.core.errors import MalformedInput, RequestRefused, Unavailable
from doorward.core.factor_kinds import SESSION_FACTORS, FactorKind
from doorward.directory.callers import Caller
from doorward.directory.factors.checking import CheckedFactor, check_password, check_recovery, check_totp
from doorward.directory.factors.context import FactorContext
from doorward.directory.factors.enrolment_tickets import find_ticket
from doorward.directory.factors.passkeys import PasskeyCeremony, begin_check, check_passkey
from doorward.directory.factors.removing import FactorView, list_own_factors
from doorward.directory.factors.required import find_missing_factors
from doorward.factors.webauthn import RelyingParty
from doorward.policy.group_factors import RequiredFactors
from doorward.stores.factor_records import FactorRecord
from doorward.web.portal.context import PortalContext

Fields = Mapping[str, str]


class PortalFactors:
    """Lists and checks factors for the routes of the portal.

    Args:
        portal: the portal.
        context: the dependencies of factors; its `party` is set from the portal's present origin at each request.
    """

    def __init__(self, portal: PortalContext, context: FactorContext | None) -> None:
        self._portal = portal
        self._context = context

    async def party(self) -> RelyingParty:
        """Return the portal as the relying party of WebAuthn."""
        origin = await self._portal.origin()
        host = origin.removeprefix("https://").partition(":")[0]
        return RelyingParty(id=host, origin=origin, name=self._portal.pages.look.brand.name)

    async def context(self) -> FactorContext:
        """Return the context with the present relying party."""
        party = await self.party()
        if self._context is None or self._context.party != party:
            kept = self._context
            self._context = (
                FactorContext(services=self._portal.services, party=party)
                if kept is None
                else replace(kept, party=party)
            )
        return self._context

    async def own(self, caller: Caller) -> list[FactorView]:
        """Return the caller's factors."""
        rp_id = (await self.context()).party.id
        return await self._portal.run(lambda: list_own_factors(self._portal.services, caller, rp_id=rp_id))

    async def kinds(self, caller: Caller) -> frozenset[FactorKind]:
        """Return the kinds of factors that the caller has and can use."""
        return frozenset(one.kind for one in await self.own(caller) if not one.lost)

    async def has_shown(self, request: Request, caller: Caller, *, within: timedelta) -> bool:
        """Say whether the caller showed the strongest second factor within that time, or has none to show."""
        kinds = await self.kinds(caller)
        useful = [kind for kind in SESSION_FACTORS if kind in kinds]
        if not useful:
            return True
        session = await self._portal.session(request, caller)
        # The strongest one, because a thief of the unlocked device does not have it.
        shown = session.factors.get(useful[0]) if session is not None else None
        return shown is not None and self._portal.services.clock.now() - shown <= within

    async def missing(self, caller: Caller, kept: Sequence[FactorView]) -> RequiredFactors:
        """Return the factors that the policy requires of the caller besides these."""
        kinds = {one.kind for one in kept if not one.lost}
        return await self._portal.run(lambda: find_missing_factors(self._portal.services, caller, kinds))

    async def has_ticket(self, caller: Caller, token: str = "") -> bool:
        """Say whether the caller may add a factor without showing one."""
        services = self._portal.services

        def find() -> bool:
            with services.work.read() as stores:
                return find_ticket(stores, caller, token, services.clock.now()) is not None

        return await self._portal.run(find)

    async def ask_passkey(self, caller: Caller) -> PasskeyCeremony:
        """Begin the check of a passkey; return the options for the browser."""
        context = await self.context()
        return await self._portal.run(lambda: begin_check(context, caller))

    async def check(self, caller: Caller, kind: FactorKind, fields: Fields) -> FactorRecord:
        """Return the factor that was shown.

        Raises:
            RequestRefused: `factor-refused`, with the same words for every fault; `factor-locked`.
            Unavailable: `factor-throttled`, with `retry_after_seconds`; `too-busy`.
        """
        context = await self.context()

        def judge() -> CheckedFactor:
            match kind:
                case FactorKind.WEBAUTHN:
                    question, answer = fields.get("question", ""), fields.get("credential", "")
                    return check_passkey(context, caller, question, answer)
                case FactorKind.TOTP:
                    return check_totp(context, caller, fields.get("code", ""))
                case FactorKind.PASSWORD:
                    return check_password(context, caller, fields.get("password", ""))
                case FactorKind.RECOVERY:
                    return check_recovery(context, caller, fields.get("code", ""))

        run = self._portal.run_slow if kind is FactorKind.PASSWORD else self._portal.run
        try:
            checked = await run(judge)
        except MalformedInput:
            raise _refused() from None
        if checked.good:
            return checked.require()
        if checked.locked:
            raise RequestRefused(
                "factor-locked",
                "this kind of factor is locked for your certificate after too many wrong tries",
                hint="use a passkey, or ask your administrator",
            )
        if checked.until is not None:
            seconds = max(1, round((checked.until - checked.at).total_seconds()))
            raise Unavailable(
                "factor-throttled",
                f"too many wrong tries: the next try is possible in {_in_words(seconds)}",
                hint="wait, then try again",
                retry_after_seconds=seconds,
            )
        raise _refused()


def _refused() -> RequestRefused:
    return RequestRefused("factor-refused", "that was not right", hint="try again")


def _in_words(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 120 else f"{seconds // 60} minutes"  # noqa: PLR2004

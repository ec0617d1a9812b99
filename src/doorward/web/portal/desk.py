"""Where the portal has factors judged.

Not here: the judging (factors), the accounts (directory).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.factors.webauthn import (
    CHALLENGE_BYTES,
    RelyingParty,
    build_authentication_options,
    check_authentication,
    parse_authentication,
    parse_passkey,
)
from doorward.stores.factor_records import FactorRecord
from doorward.web.portal.challenges import Challenges
from doorward.web.portal.place import PortalPlace
from doorward.wire.base64url import parse_base64url, render_base64url


class FactorDesk:
    """Judges factors for the routes of the portal.

    Args:
        place: the portal.
    """

    def __init__(self, place: PortalPlace) -> None:
        self._place = place
        self._challenges = Challenges(place.services.clock, place.services.random)

    async def party(self) -> RelyingParty:
        """Return the portal as WebAuthn names it."""
        origin = await self._place.origin()
        host = origin.removeprefix("https://").partition(":")[0]
        return RelyingParty(id=host, origin=origin, name=self._place.pages.look.brand.name)

    async def factors(self, caller: Caller) -> list[FactorRecord]:
        """Return the caller's factors."""

        def find() -> list[FactorRecord]:
            with self._place.services.work.read() as stores:
                return stores.factors.of_principal(caller.principal_id)

        return await self._place.run(find)

    async def kinds(self, caller: Caller) -> frozenset[FactorKind]:
        """Return the kinds of factors that the caller has."""
        return frozenset(one.kind for one in await self.factors(caller))

    async def can_enrol_first(self, caller: Caller) -> bool:
        """Say whether the caller has the right to enrol a first factor now."""
        services, now = self._place.services, self._place.services.clock.now()

        def find() -> bool:
            with services.work.read() as stores:
                rights = stores.enrolment_rights.open_for(caller.principal_id, now)
            return any(
                one.certificate_id in ("", caller.certificate_id) and not one.token_sha256 for one in rights
            )

        return await self._place.run(find)

    async def ask_passkey(self, caller: Caller, *, purpose: str) -> dict[str, Any]:
        """Return what the browser is asked to use a passkey."""
        challenge = self._challenges.make(caller.certificate_sha256, purpose, CHALLENGE_BYTES)
        allow = [
            parse_base64url(one.credential_id, code="webauthn-malformed", what="a credential id")
            for one in await self.factors(caller)
            if one.kind is FactorKind.WEBAUTHN
        ]
        return build_authentication_options(await self.party(), challenge=challenge, allow=allow)

    async def check(
        self, _request: Request, caller: Caller, kind: FactorKind, fields: Mapping[str, str], *, purpose: str
    ) -> None:
        """Return if the factor was shown."""
        if kind is not FactorKind.WEBAUTHN:
            raise RequestRefused("factor-refused", "not yet")
        challenge = self._challenges.take(caller.certificate_sha256, purpose)
        try:
            answer = parse_authentication(fields.get("credential", ""))
        except MalformedInput:
            raise RequestRefused("factor-refused", "that was not right") from None
        party, services = await self.party(), self._place.services

        def judge() -> bool:
            with services.work.change(traffic=True) as stores:
                record = stores.factors.by_credential(render_base64url(answer.credential_id))
                if record is None or record.principal_id != caller.principal_id or challenge is None:
                    return False
                verdict = check_authentication(
                    answer,
                    party,
                    challenge,
                    passkey=parse_passkey(record.secret),
                    counter=record.counter,
                    user_handle=caller.principal_id.encode(),
                )
                return verdict.good and stores.factors.use(
                    record.id, expected=record.counter, counter=verdict.require(), at=services.clock.now()
                )

        if not await self._place.run(judge):
            raise RequestRefused("factor-refused", "that was not right")

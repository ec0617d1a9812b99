"""`POST /_doorward/choose`: a person wants to use another certificate, on an application's host or at the portal.

The answer is sent first, because the change cuts its connection. The only effect is that the browser asks for a certificate
again. On a judged connection the assertion identifies the certificate. On any other, the door's header names the certificate
that was shown; it is not verified, which is sufficient for this effect.

Not here: the effect on gateways (gateway.connections.one_time_refusals), and the script of the page (static/door.js).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import RequestRefused
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.enforcement.envoy.names import APPLICATION, CLAIMED_CERTIFICATE
from doorward.stores.certificate_choice import CertificateChoice
from doorward.web.answers import CUT_DELAY_SECONDS
from doorward.web.guard import UnguardedRoute
from doorward.web.identity import ASSERTION, Identities, source_of
from doorward.web.pages.unverified_certificate import parse_unverified_certificate
from doorward.web.pool import UseCasePool

CHOOSE_PATH = "/_doorward/choose"


class CertificateChoiceRoute:
    """The route for choosing another certificate.

    Args:
        choice_recorder: records choices; both sockets of a process share one.
        pool: where use cases run.
        identities: identifies callers.
        audience: returns the required audience of an assertion.
    """

    def __init__(
        self,
        choice_recorder: CertificateChoiceRecorder,
        pool: UseCasePool,
        identities: Identities,
        audience: Callable[[Request], Awaitable[str]],
    ) -> None:
        self._choice_recorder = choice_recorder
        self._pool = pool
        self._identities = identities
        self._audience = audience

    def route(self) -> UnguardedRoute:
        """Return the route; it accepts requests from our own pages only."""
        why = "a person without a good certificate may choose another one too"
        return UnguardedRoute(method="POST", path=CHOOSE_PATH, answer=self.choose, why=why)

    async def choose(self, request: Request) -> Response:
        """Answer, then record the choice, so that the browser asks again."""
        application = request.headers.get(APPLICATION, PORTAL_APPLICATION)
        good = ASSERTION in request.headers
        if good:
            caller = await self._identities.identify(request, await self._audience(request))
            sha256 = caller.certificate_sha256
        else:
            claimed = parse_unverified_certificate(request.headers.get(CLAIMED_CERTIFICATE, ""))
            sha256 = claimed.sha256 if claimed else ""
        choice = CertificateChoice.of(application, sha256, source_of(request))

        async def note() -> None:
            await asyncio.sleep(CUT_DELAY_SECONDS)
            with suppress(RequestRefused):  # too many choices: the person clicks again, or closes the browser
                await self._pool.run(lambda: self._choice_recorder.record(choice, good=good))

        return Response(status_code=204, background=BackgroundTask(note))

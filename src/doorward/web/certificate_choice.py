"""`POST /_doorward/choose`: a person wants to show another certificate, on an application's host or at the portal.

The answer goes out first: what follows cuts the connection that it goes over. Nothing is told and nothing is changed but which
certificate the browser is asked for next. A judged connection is known by its assertion; any other by what the door says that
it showed, which is good enough to be asked again.

Not here: what gateways do about it (gateway.connections.one_time_refusals), and the script of the page (static/door.js).
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
from doorward.web.answers import ANSWER_FIRST_SECONDS
from doorward.web.guard import UnguardedRoute
from doorward.web.identity import ASSERTION, Identities, source_of
from doorward.web.pages.unverified_certificate import parse_unverified_certificate
from doorward.web.pool import UseCasePool

CHOOSE_PATH = "/_doorward/choose"


class CertificateChoiceRoute:
    """The one route.

    Args:
        choice_recorder: notes choices; both sockets of a process share one.
        pool: where use cases run.
        identities: reads who is calling.
        audience: the audience that an assertion must have here.
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
        """Return the route; it comes from our own pages only."""
        why = "who has no good certificate may choose another one too"
        return UnguardedRoute(method="POST", path=CHOOSE_PATH, answer=self.choose, why=why)

    async def choose(self, request: Request) -> Response:
        """Answer, and then have the browser ask again."""
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
            await asyncio.sleep(ANSWER_FIRST_SECONDS)
            with suppress(RequestRefused):  # too many: the person presses once more, or closes the browser
                await self._pool.run(lambda: self._choice_recorder.record(choice, good=good))

        return Response(status_code=204, background=BackgroundTask(note))

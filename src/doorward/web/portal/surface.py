"""The portal's routes in one table: each is guarded, or says why not.

Not here: what they answer (step_up, checks, enrolling, overview).
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.core.names import PORTAL_AUDIENCE
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.answers import Pages
from doorward.web.guard import Guard, OpenWay, Way
from doorward.web.identity import Identities
from doorward.web.look.assets import answer_asset
from doorward.web.pool import UseCasePool
from doorward.web.portal.checks import Checks
from doorward.web.portal.desk import FactorDesk
from doorward.web.portal.joining import Joining
from doorward.web.portal.mine import Mine
from doorward.web.portal.place import PortalPlace, PortalTerms
from doorward.web.portal.renewing import Renewing
from doorward.web.portal.step_up import StepUp
from doorward.web.portal.welcome import Welcome


class PortalSurface:
    """The routes of the portal over one set of services.

    Args:
        services: of a process that may sign.
        pool: where use cases run.
        pages: how they look.
        terms: what the settings say.
        snapshots: the policy in force.
    """

    def __init__(
        self,
        services: Services,
        pool: UseCasePool,
        pages: Pages,
        terms: PortalTerms,
        snapshots: PolicySnapshots,
    ) -> None:
        self._pages = pages
        self._place = PortalPlace(services, pool, pages, terms, snapshots)
        desk, identities = FactorDesk(self._place), Identities(services, pool)
        self._step_up = StepUp(self._place)
        self._checks = Checks(self._place, desk)
        self._joining = Joining(self._place, pool)
        self._renewing = Renewing(self._place, desk)
        self._welcome = Welcome(self._place, desk, identities)
        self._mine = Mine(self._place, desk)
        self._guard = Guard(
            identities,
            audience=_audience,
            origin=self._place.origin,
            refusal=pages.refusal,
        )

    def ways(self) -> Sequence[Way | OpenWay]:
        """Return what there is."""
        return (
            OpenWay(
                path="/static/{name}", answer=self._static, why="style, scripts and signs; nothing of anybody"
            ),
            Way(
                method="GET",
                path="/step-up/{application}/{authority}/{request}",
                answer=self._step_up.arrive,
            ),
            Way(method="GET", path="/check/{id}", answer=self._checks.ask),
            Way(method="POST", path="/check/{id}/{kind}", answer=self._checks.check),
            *self._joining.ways(),
            *self._renewing.ways(),
            *self._welcome.ways(),
            *self._mine.ways(),
        )

    def routes(self) -> list[Route]:
        """Return the routes."""
        return self._guard.routes(self.ways())

    async def _static(self, request: Request) -> Response:
        return answer_asset(self._pages.look.assets, request.path_params["name"])


async def _audience(_request: Request) -> str:
    return PORTAL_AUDIENCE

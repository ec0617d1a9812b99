"""The portal's routes in one table: each is guarded, or states why it is not.

Not here: the handlers (step_up, checks, enrolling, home and others).
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.core.names import PORTAL_AUDIENCE
from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.directory.factors.context import FactorContext
from doorward.directory.help_desk import HelpDesk
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.answers import Pages
from doorward.web.certificate_choice import CertificateChoiceRoute
from doorward.web.guard import Guard, GuardedRoute, UnguardedRoute
from doorward.web.identity import Identities
from doorward.web.look.assets import answer_asset
from doorward.web.pages.surface import STATIC_BASE, PagesSurface
from doorward.web.pool import UseCasePool
from doorward.web.portal.add_device import AddDeviceRoutes
from doorward.web.portal.checks import CheckRoutes
from doorward.web.portal.context import PortalContext, PortalOptions
from doorward.web.portal.enrolling import FactorRoutes
from doorward.web.portal.factors import PortalFactors
from doorward.web.portal.help_desk import HelpDeskRoutes
from doorward.web.portal.home import HomeRoutes
from doorward.web.portal.joining import JoinRoutes
from doorward.web.portal.recovering import RecoveryRoutes
from doorward.web.portal.renewing import RenewalRoutes
from doorward.web.portal.step_up import StepUpRoute
from doorward.web.portal.welcome import WelcomeRoute


class PortalSurface:
    """The routes of the portal over one set of services.

    Args:
        services: of a process that may sign.
        pool: where use cases run.
        pages: makes pages.
        options: from the settings.
        snapshots: the policy in force.
        factors: the dependencies of second factors; None for the defaults.
        choice_recorder: records choices of another certificate; shared with the hosts of applications.
        help_desk: looks up incident ids; None if there is no help desk.
    """

    def __init__(
        self,
        services: Services,
        pool: UseCasePool,
        pages: Pages,
        options: PortalOptions,
        snapshots: PolicySnapshots,
        *,
        factors: FactorContext | None = None,
        choice_recorder: CertificateChoiceRecorder | None = None,
        help_desk: HelpDesk | None = None,
    ) -> None:
        self._pages = pages
        self._portal = PortalContext(services, pool, pages, options, snapshots)
        portal_factors, identities = PortalFactors(self._portal, factors), Identities(services, pool)
        self._step_up = StepUpRoute(self._portal)
        self._checks = CheckRoutes(self._portal, portal_factors)
        self._factors = FactorRoutes(self._portal, portal_factors)
        self._recovery = RecoveryRoutes(self._portal, portal_factors)
        self._join = JoinRoutes(self._portal, pool)
        self._renewal = RenewalRoutes(self._portal, portal_factors)
        self._welcome = WelcomeRoute(self._portal, portal_factors, identities)
        self._add_device = AddDeviceRoutes(self._portal)
        self._home = HomeRoutes(self._portal, portal_factors, help_desk)
        self._help_desk = HelpDeskRoutes(self._portal, portal_factors, help_desk)
        self._certificate_choice = CertificateChoiceRoute(
            choice_recorder or CertificateChoiceRecorder(services), pool, identities, _audience
        )
        self._guard = Guard(
            identities,
            audience=_audience,
            origin=self._portal.origin,
            refusal=pages.refusal,
            without_certificate=PagesSurface(
                services, pool, pages.look, renews_here=options.is_trusted
            ).refused,
        )

    def route_table(self) -> Sequence[GuardedRoute | UnguardedRoute]:
        """Return all routes."""
        return (
            UnguardedRoute(
                path="/static/{name}", answer=self._static, why="style, scripts and icons; no personal data"
            ),
            UnguardedRoute(
                path=f"{STATIC_BASE}/{{name}}", answer=self._static, why="the same for Envoy's own replies"
            ),
            GuardedRoute(
                method="GET",
                path="/step-up/{application}/{authority}/{request}",
                answer=self._step_up.arrive,
            ),
            GuardedRoute(method="GET", path="/check/{id}", answer=self._checks.ask),
            GuardedRoute(method="POST", path="/check/{id}/{kind}", answer=self._checks.check),
            GuardedRoute(method="GET", path="/factors", answer=self._factors.overview),
            GuardedRoute(method="GET", path="/factors/{kind}", answer=self._factors.form),
            GuardedRoute(method="POST", path="/factors/{kind}", answer=self._factors.add),
            GuardedRoute(method="POST", path="/factors/{kind}/begin", answer=self._factors.begin),
            GuardedRoute(method="POST", path="/factors/{id}/rename", answer=self._factors.rename),
            GuardedRoute(method="POST", path="/factors/{id}/remove", answer=self._factors.remove),
            GuardedRoute(method="GET", path="/enrol", answer=self._factors.link),
            GuardedRoute(method="GET", path="/recover", answer=self._recovery.form),
            GuardedRoute(method="POST", path="/recover", answer=self._recovery.recover),
            *self._join.route_table(),
            *self._renewal.route_table(),
            *self._welcome.route_table(),
            *self._home.route_table(),
            *self._add_device.route_table(),
            *self._help_desk.route_table(),
            self._certificate_choice.route(),
        )

    def routes(self) -> list[Route]:
        """Return the routes."""
        return self._guard.routes(self.route_table())

    async def _static(self, request: Request) -> Response:
        return answer_asset(self._pages.look.assets, request.path_params["name"])


async def _audience(_request: Request) -> str:
    return PORTAL_AUDIENCE

"""The web surfaces as ASGI applications, each with the same middleware (edge).

Not here: sockets (serving) and routes (status, enrolment).
"""

from __future__ import annotations

from datetime import timedelta

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.directory.factors.context import FactorContext
from doorward.directory.help_desk import HelpDesk
from doorward.directory.sessions import LIFETIME
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.acme_challenges import ChallengeSurface
from doorward.web.answers import Pages
from doorward.web.downloads import MAX_DOWNLOADS
from doorward.web.edge import EdgeMiddleware, answer_http_errors
from doorward.web.enrolment import EnrolmentSurface
from doorward.web.est import EstSurface
from doorward.web.look.rendering import Look
from doorward.web.metrics import MetricsSurface
from doorward.web.open_challenges import OpenChallenges
from doorward.web.pages.errors import build_error_page
from doorward.web.pages.surface import STATIC_BASE, PagesSurface
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalOptions
from doorward.web.portal.surface import PortalSurface
from doorward.web.sessions.surface import SessionSurface
from doorward.web.status import StatusSurface


def build_status_app(
    services: Services,
    pool: UseCasePool,
    *,
    downloads: int = MAX_DOWNLOADS,
    metrics: MetricsSurface | None = None,
) -> Starlette:
    """Return the application of the status listener; of all signing keys it needs only the OCSP responder's.

    Args:
        services: the ports of this process.
        pool: the threads that run use cases.
        downloads: how many large lists are sent at the same time.
        metrics: the numbers for Prometheus; None has no such route.
    """
    routes = StatusSurface(services, pool, downloads=downloads).routes()
    return build_surface([*routes, *(metrics.routes() if metrics is not None else [])])


def build_challenge_app(
    services: Services, pool: UseCasePool, *, public_port: int, portal_host: str
) -> Starlette:
    """Return the application of the listener for http-01, which leads browsers to the door's port and hosts.

    `pool` is its own: strangers can ask it.
    """
    challenges = OpenChallenges(services, pool, portal_host)
    surface = ChallengeSurface(challenges, public_port=public_port)
    return build_surface(surface.routes())


def build_enrolment_app(
    services: Services, pool: UseCasePool, *, origin: str, look: Look | None = None
) -> Starlette:
    """Return the application behind `enroll.<domain>`; `origin` is its public address, without a slash at the end."""
    return build_surface(EnrolmentSurface(services, pool, origin=origin, look=look).routes())


def build_est_app(services: Services, pool: UseCasePool, *, makes_keys: bool = False) -> Starlette:
    """Return the application behind the EST host (RFC 7030); `makes_keys` allows serverkeygen."""
    return build_surface(EstSurface(services, pool, makes_keys=makes_keys).routes())


def build_portal_app(
    services: Services,
    pool: UseCasePool,
    options: PortalOptions,
    *,
    look: Look | None = None,
    snapshots: PolicySnapshots | None = None,
    factors: FactorContext | None = None,
    choice_recorder: CertificateChoiceRecorder | None = None,
    help_desk: HelpDesk | None = None,
) -> Starlette:
    """Return the application behind `portal.<domain>`.

    Args:
        services: the ports of a process that may sign.
        pool: the threads that run use cases.
        options: what the settings say.
        look: the look of its pages.
        snapshots: the policy in force.
        factors: figures of second factors; None takes the usual ones.
        choice_recorder: notes who wants to show another certificate; shared with the sessions' application.
        help_desk: who may look up incident ids; None if there is no such page.
    """
    pages = Pages(look or Look(chooses_language=True))
    surface = PortalSurface(
        services,
        pool,
        pages,
        options,
        snapshots or PolicySnapshots(),
        factors=factors,
        choice_recorder=choice_recorder,
        help_desk=help_desk,
    )
    return build_surface(surface.routes(), pages.look)


def build_sessions_app(
    services: Services,
    pool: UseCasePool,
    options: PortalOptions,
    *,
    lifetime: timedelta = LIFETIME,
    look: Look | None = None,
    snapshots: PolicySnapshots | None = None,
    choice_recorder: CertificateChoiceRecorder | None = None,
) -> Starlette:
    """Return the application of the door's own paths on the hosts of applications, and of its pages there.

    Args:
        services: the ports of a process that may sign.
        pool: the threads that run use cases.
        options: what the settings say of the portal.
        lifetime: the lifetime of a session at an application.
        look: the look of its pages.
        snapshots: the policy in force.
        choice_recorder: notes who wants to show another certificate; shared with the portal.
    """
    pages = Pages(look or Look(base=STATIC_BASE))
    refusals = PagesSurface(services, pool, pages.look, portal_origin=options.origin())
    surface = SessionSurface(
        services,
        pool,
        pages,
        options,
        snapshots or PolicySnapshots(),
        lifetime=lifetime,
        without_certificate=refusals.refused,
        choice_recorder=choice_recorder,
    )
    return build_surface([*surface.routes(), *refusals.routes()], pages.look)


def build_surface(routes: list[Route], look: Look | None = None) -> Starlette:
    """Return an application with these routes behind the middleware; with `look`, people get errors as pages."""
    page = build_error_page(look) if look is not None else None
    app = Starlette(
        routes=routes,
        middleware=[Middleware(EdgeMiddleware, page=page)],
        exception_handlers={HTTPException: answer_http_errors(page)},
    )
    # A redirect to the path with or without a slash would repeat the Host field in a Location field.
    app.router.redirect_slashes = False
    return app

"""The web surfaces as ASGI applications, each with the same edge.

Not here: sockets (serving) and routes (status, enrolment).
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from doorward.stores.services import Services
from doorward.web.downloads import MAX_DOWNLOADS
from doorward.web.edge import Edge, answer_http_error
from doorward.web.enrolment import EnrolmentSurface
from doorward.web.look.rendering import Look
from doorward.web.pool import UseCasePool
from doorward.web.status import StatusSurface


def build_status_app(services: Services, pool: UseCasePool, *, downloads: int = MAX_DOWNLOADS) -> Starlette:
    """Return the application of the status listener; it needs no signing keys but the OCSP responder's.

    Args:
        services: the ports of this process.
        pool: where use cases run.
        downloads: how many large lists are sent at once.
    """
    return build_surface(StatusSurface(services, pool, downloads=downloads).routes())


def build_enrolment_app(
    services: Services, pool: UseCasePool, *, origin: str, look: Look | None = None
) -> Starlette:
    """Return the application behind `enroll.<domain>`; `origin` is its public address, no slash at the end."""
    return build_surface(EnrolmentSurface(services, pool, origin=origin, look=look).routes())


def build_surface(routes: list[Route]) -> Starlette:
    """Return an application of these routes behind the edge."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Edge)],
        exception_handlers={HTTPException: answer_http_error},
    )
    # A redirect to the path with or without a slash would repeat the Host field in a Location field.
    app.router.redirect_slashes = False
    return app

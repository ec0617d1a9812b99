"""The enrolment surface: the page of a one-time link, and the request that exchanges it for a certificate.

    GET  /, /join            the page of the link
    GET  /root.pem           the root certificate, which a link names
    GET  /roots.pem          every trusted root, and their cross-certificates
    GET  /roots.crl          the newest revocation list of every trusted root, and the last ones of retired roots, for agents
    GET  /static/<name>.css  the style of the page
    POST /v1/certificates    exchange a CSR and a token for a certificate
    GET  /renew/nonce, POST /renew, POST /renew/report
                             renewal without people

It is served on a unix socket. Its only peer is the gateway's open chain, which requests no client certificate.
Not here: the exchange of a token (token_exchange), renewal (renewal).
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from doorward.enforcement.open_routes import ENROLMENT_ROUTES
from doorward.stores.services import Services
from doorward.web.look.assets import answer_asset
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import Look
from doorward.web.pool import UseCasePool
from doorward.web.renewal import RenewalExchange
from doorward.web.status import root_lists_pem, root_pem, roots_pem
from doorward.web.token_exchange import TokenExchange

_PAGE_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class EnrolmentSurface:
    """The routes of the enrolment host over one set of services.

    Args:
        services: the ports of a process that may sign.
        pool: the threads that run use cases.
        origin: the public address, `https://enroll.corp.example:8443`; the page shows it. It is not taken from the Host
            field, which an attacker may control.
        look: the look of its page.
    """

    def __init__(
        self, services: Services, pool: UseCasePool, *, origin: str, look: Look | None = None
    ) -> None:
        self._services = services
        self._pool = pool
        self._exchange = TokenExchange(services, pool)
        self._renewal = RenewalExchange(services, pool)
        self._origin = origin
        self._look = look or Look()

    def routes(self) -> list[Route]:
        """Return the routes; every GET answers HEAD too."""
        answers = {
            "/": self.page,
            "/join": self.page,
            "/static/{name}": self.static,
            "/root.pem": self.root,
            "/roots.pem": self.roots,
            "/roots.crl": self.root_lists,
            "/v1/certificates": self._exchange.answer,
            "/renew/nonce": self._renewal.nonce,
            "/renew": self._renewal.renew,
            "/renew/report": self._renewal.report,
        }
        return [Route(one.path, answers[one.path], methods=[one.method]) for one in ENROLMENT_ROUTES]

    async def page(self, request: Request) -> Response:
        """Answer with the page for a person who opened the link; the token is not sent to us."""
        page = self._look.render("join.html", {"origin": self._origin}, language_of(request))
        headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "public, max-age=300"}
        return HTMLResponse(page, headers=headers | {"Vary": "Accept-Language, Cookie"})

    async def static(self, request: Request) -> Response:
        """Answer with a static file; all files were read at the start, so no path is opened."""
        return answer_asset(self._look.assets, request.path_params["name"])

    async def root(self, _request: Request) -> Response:
        """Answer with the root certificate; the client must compare it with the SHA-256 in the link."""
        return await self._answer_pem(root_pem)

    async def roots(self, _request: Request) -> Response:
        """Answer with every trusted root and their cross-certificates; a client trusts what a root of its own has signed."""
        return await self._answer_pem(roots_pem)

    async def _answer_pem(self, read: Callable[[Services], bytes]) -> Response:
        pem = await self._pool.run(lambda: read(self._services))
        return Response(
            pem, media_type="application/x-pem-file", headers={"Cache-Control": "public, max-age=300"}
        )

    async def root_lists(self, _request: Request) -> Response:
        """Answer with the newest revocation lists of the roots; the client must check who signed them."""
        return await self._answer_pem(root_lists_pem)

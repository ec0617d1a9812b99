"""Joining in the browser: where the link of an invitation leads on the portal.

    GET  /join                a page that makes a key and asks for its certificate
    POST /join/certificates   a CSR and a token become a certificate

No caller is known here: the link is the right. The page is offered only if browsers trust the portal's server
certificate. Otherwise people would learn to click warnings away, and the link's pin of the root protects nothing in a
browser; the page then names the command. The token stands behind the `#`, which no browser sends (docs/design/0003).
Not here: the exchange (web.token_exchange), the key (static/keys.js).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from doorward.core.errors import NotFound
from doorward.stores.services import Services
from doorward.web.identity import check_origin
from doorward.web.look.languages import language_of, remember_language
from doorward.web.look.rendering import Look, page_policy
from doorward.web.pool import UseCasePool
from doorward.web.portal.devices import list_devices
from doorward.web.token_exchange import TokenExchange


def joining_routes(
    services: Services, pool: UseCasePool, *, origin: str, look: Look, offered: bool
) -> list[Route]:
    """Return the routes of joining.

    Args:
        services: of a process that may sign.
        pool: where use cases run.
        origin: the portal's own, as browsers write it; requests from other pages are refused.
        look: of the page.
        offered: whether browsers trust the portal's server certificate.
    """
    exchange = TokenExchange(services, pool)

    async def page(request: Request) -> Response:
        language = language_of(request)
        context = {"offered": offered, "devices": list_devices(language)}
        answer = HTMLResponse(
            look.render("portal/join.html", context, language),
            headers={
                "Content-Security-Policy": page_policy(form_action="'none'"),
                "Cache-Control": "no-cache",
                "Vary": "Accept-Language, Cookie",
            },
        )
        remember_language(request, answer)
        return answer

    async def certificates(request: Request) -> Response:
        check_origin(request, origin)
        if not offered:
            raise NotFound("path-unknown", "joining in the browser is not offered here")
        return await exchange.answer(request)

    return [
        Route("/join", page, methods=["GET"]),
        Route("/join/certificates", certificates, methods=["POST"]),
    ]

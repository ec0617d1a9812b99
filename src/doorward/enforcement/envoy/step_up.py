"""The reply if only a second factor is missing: a browser is redirected to the portal, a program gets a challenge.

1. A filter before the rules evaluates the same rules without their requirements, as *shadow rules*. It refuses nothing, and
   notes whether the request would be allowed with a factor, and with which one.
2. If the rules then refuse, the local reply reads that note. A GET navigation (`Sec-Fetch-Dest: document`) gets 302 to the
   portal, any other request gets 401 with the challenge of RFC 9470. A refusal for any other reason stays the same, because
   no factor would help.

The redirect goes to a constant origin, and its whole raw query is the path to return to. So no text in that path can end the
query or add a parameter, and the redirect cannot name another host. The id of the request is kept in a cookie; the callback
from the portal is accepted only together with it.

Not here: the rules (`rules`), the portal, and the callback (`session_routes`).
Standard: RFC 6750 section 3, RFC 9457, RFC 9470 section 3; W3C Fetch Metadata section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from doorward.core.factor_kinds import FactorKind
from doorward.enforcement.envoy.extension import await_route, build_extension
from doorward.enforcement.envoy.headers import overwrite_header
from doorward.enforcement.envoy.names import BEGIN_COOKIE, STEP_UP_FILTER, STEP_UP_STATISTICS
from doorward.enforcement.envoy.replies import build_case
from doorward.enforcement.envoy.reply_cases import FACTOR_MISSING, build_filter
from doorward.enforcement.plan import HttpDoor, ReplyPages, SessionPlan
from doorward.policy.requirements import LONGEST_WITHIN, Requirement

BEGIN_SECONDS = 300
"""How long a person may take at the portal."""

_RBAC = "metadata.filter_metadata['envoy.filters.http.rbac']"
_MISSING = (
    "response.code == 403 && response.code_details.startsWith('rbac_access_denied')"
    f" && {_RBAC}.{STEP_UP_STATISTICS}shadow_engine_result == 'allowed'"
)
_NAVIGATION = "request.method == 'GET' && request.headers['sec-fetch-dest'] == 'document'"
_RANK = 2
_ANY_FACTOR, _PASSKEY = 2, 3
_CHALLENGE = (
    # The name of the shadow policy, without the number that sorts the weakest first.
    f"%CEL(re.extract({_RBAC}.{STEP_UP_STATISTICS}shadow_effective_policy_id, '^[0-9]+ (.*)$', r'\\1'))%"
)


def build_step_up_filter() -> dict[str, Any]:
    """Return the step-up filter of a connection manager: it runs only on routes with shadow rules."""
    return await_route(
        build_extension(
            STEP_UP_FILTER,
            "extensions.filters.http.rbac.v3.RBAC",
            shadow_rules_stat_prefix=STEP_UP_STATISTICS,
        )
    )


def name_challenges(asked: Sequence[frozenset[Requirement]]) -> dict[frozenset[Requirement], str]:
    """Return a name for each set of requirements; it begins with a rank (weakest first), then has the challenge's parameters."""
    ranked = sorted(set(asked), key=_weakest_first)
    return {one: f"{rank:0{_RANK}d} {_parameters(one)}" for rank, one in enumerate(ranked)}


def _weakest_first(asked: frozenset[Requirement]) -> tuple[int, timedelta, str]:
    age = min((one.within for one in asked if one.within is not None), default=LONGEST_WITHIN)
    return _level(asked), -age, _parameters(asked)


def _level(asked: frozenset[Requirement]) -> int:
    return max(_PASSKEY if one.claim == FactorKind.WEBAUTHN.value else _ANY_FACTOR for one in asked)


def _parameters(asked: frozenset[Requirement]) -> str:
    ages = [one.within for one in asked if one.within is not None]
    age = f', max_age="{min(ages) // timedelta(seconds=1)}"' if ages else ""
    return f'acr_values="urn:doorward:level:{_level(asked)}"{age}'


def build_challenges(
    door: HttpDoor, sessions: SessionPlan, pages: ReplyPages | None = None
) -> list[dict[str, Any]]:
    """Return the local replies for a missing factor; they come before those by status."""
    place = f"{sessions.portal_origin}/step-up/{door.id}/%REQ(:AUTHORITY)%/%REQ(X-REQUEST-ID)%?%REQ(:PATH)%"
    begin = (
        f"{BEGIN_COOKIE}=%REQ(X-REQUEST-ID)%; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age={BEGIN_SECONDS}"
    )
    no_store = overwrite_header("cache-control", "no-store")
    challenge = f'Bearer error="insufficient_user_authentication", {_CHALLENGE}'
    redirect = {
        "status_code": 302,
        "headers_to_add": [
            overwrite_header("location", place),
            no_store,
            overwrite_header("set-cookie", begin),
        ],
    }
    challenged = {
        "status_code": 401,
        "headers_to_add": [overwrite_header("www-authenticate", challenge), no_store],
    }
    redirects, challenges = build_filter(f"{_MISSING} && {_NAVIGATION}"), build_filter(_MISSING)
    return [
        *build_case(redirects, FACTOR_MISSING, door.name, None, redirect, has_text=False),
        *build_case(challenges, FACTOR_MISSING, door.name, pages, challenged, has_text=False),
    ]

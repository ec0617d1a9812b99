"""Sessions: Envoy verifies them for each request, on routes with a rule that requires a second factor.

1. `jwt_authn` takes the token from our cookie and verifies signature, issuer and expiry. A request without a good token goes
   on without claims. Verified tokens are cached.
2. One `set_filter_state` filter writes one word: which requirements of the route's rules the session meets. The session
   must be *bound*: its audience must be the application's id, and its certificate and its epoch must be those of the
   connection. The filter also selects the assertion that the application gets.
3. The rules look for their requirements in this word (`rules`). A bad token or a missing claim meets no requirement.

Both filters are in every chain and do nothing without a route's own configuration. So the first rule with a requirement
changes routes only, and ends no connection. The keys are in no chain: the first filter comes by extension discovery (ECDS)
as one resource that all chains share, so a key rotation ends no connection either (docs/design/0068). It names no
application: each chain has its own copy of it in memory, so an entry for each application would cost the square of their
number (docs/design/0062).

Not here: tokens (directory.sessions), the reply if a factor is missing (`step_up`), removing the cookie (`cookies`).
Standard: RFC 7519; RFC 8705 section 3 (binding, in the form that Envoy compares: hexadecimal).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from doorward.enforcement.envoy.extension import (
    AWAITED,
    CEL,
    await_route,
    build_extension,
    build_typed,
    render_duration,
)
from doorward.enforcement.envoy.headers import overwrite_header
from doorward.enforcement.envoy.names import BOUND_FILTER, SESSION_COOKIE, SESSION_FILTER, ConnectionFact
from doorward.enforcement.plan import DoorRule, GatewayPlan, HttpDoor, SessionPlan
from doorward.policy.requirements import ANY_FACTOR, SECOND_FACTORS, Requirement

CLOCK_SKEW_SECONDS = 1
"""A token is accepted for so long after its expiry; 0 would mean Envoy's default of 60 s."""

CACHED_TOKENS = 1_000
"""Verified tokens that each worker caches for one application; a verification takes three times as long as the rest."""

VERIFIED = "session"
"""The name of the one requirement of the verifying filter, and of its provider."""

_OF_SESSION = ("aud", "fp", "epoch", "assertion")
CLAIM_HEADERS = {
    claim: f"doorward-session-{claim}"
    for claim in (*_OF_SESSION, *sorted(one.value for one in SECOND_FACTORS), ANY_FACTOR)
}
"""The claims that are compared or passed on, and the request header that has each of them until the end of the filters.

Clients cannot send these headers: names with this prefix are removed first (`headers`). With all claims as metadata, a
request would take 6 microseconds more (measured)."""

_JWT = "extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_STATE = "extensions.filters.http.set_filter_state.v3.Config"
_BOUND = "doorward.session"
_ASSERTION = "doorward.session.assertion"


def build_session_filters() -> list[dict[str, Any]]:
    """Return the session filters of a connection manager: they run only on routes with `build_session_slice`."""
    discovered = {
        "name": SESSION_FILTER,
        "config_discovery": {
            "config_source": AWAITED,
            "type_urls": [f"type.googleapis.com/envoy.{_JWT}"],
        },
    }
    return [await_route(one) for one in (discovered, build_extension(BOUND_FILTER, _STATE))]


def build_session_extension(plan: GatewayPlan) -> dict[str, Any] | None:
    """Return the verifying filter that all chains of a plan share; None if no chain has it.

    Every chain of an HTTP application has it, even if no rule requires a factor: a route table may require it at any time.
    """
    if plan.sessions is None or not any(isinstance(door, HttpDoor) for door in plan.doors):
        return None
    config = build_typed(_JWT, **_verification(plan.sessions))
    return build_typed("config.core.v3.TypedExtensionConfig", name=SESSION_FILTER, typed_config=config)


def _verification(sessions: SessionPlan) -> dict[str, Any]:
    keys = sessions.good_jwks
    otherwise: dict[str, Any] = {"allow_missing_or_failed": {}}
    if not keys:
        # Envoy refuses an empty set and would keep the former keys. Without a provider no request has a session.
        return {"requirement_map": {VERIFIED: otherwise}}
    provider = {
        "issuer": sessions.issuer,
        # No `audiences`: the audience is compared with the application's id where the session is bound.
        "from_cookies": [SESSION_COOKIE],
        # `forward: false` would not remove a cookie (measured); `cookies` does.
        "forward": True,
        "clock_skew_seconds": CLOCK_SKEW_SECONDS,
        "claim_to_headers": [
            {"header_name": header, "claim_name": claim if claim in _OF_SESSION else f"factors.{claim}"}
            for claim, header in CLAIM_HEADERS.items()
        ],
        "jwt_cache_config": {"jwt_cache_size": CACHED_TOKENS},
        "local_jwks": {"inline_string": f'{{"keys":[{",".join(keys)}]}}'},
    }
    requirements = [{"provider_name": VERIFIED}, otherwise]
    return {
        "providers": {VERIFIED: provider},
        "requirement_map": {VERIFIED: {"requires_any": {"requirements": requirements}}},
    }


def build_session_slice(application_id: str, rules: Iterable[DoorRule]) -> dict[str, Any]:
    """Return the `typed_per_filter_config` of a route that verifies sessions; empty if no rule requires a factor."""
    asked = requirements_of(rules)
    if not asked:
        return {}
    return {
        SESSION_FILTER: build_typed(
            "extensions.filters.http.jwt_authn.v3.PerRouteConfig", requirement_name=VERIFIED
        ),
        BOUND_FILTER: build_typed(
            _STATE,
            on_request_headers=[
                _state_entry(_BOUND, _comparison(application_id, asked)),
                _state_entry(
                    _ASSERTION,
                    f"string(filter_state['{_BOUND}']).startsWith(',') ? {_claim('assertion')}"
                    f" : string(filter_state['{ConnectionFact.ASSERTION.state_key}'])",
                ),
            ],
        ),
    }


def build_session_headers() -> dict[str, Any]:
    """Return the header part of a route that requires a factor: the session's or the connection's assertion, and no claim."""
    assertion = overwrite_header("doorward-assertion", f"%FILTER_STATE({_ASSERTION}:PLAIN)%")
    return {
        "request_headers_to_remove": sorted(CLAIM_HEADERS.values()),
        "request_headers_to_add": [assertion],
    }


def stream_limit(sessions: SessionPlan, rules: Iterable[DoorRule]) -> dict[str, Any]:
    """Return the longest duration of a stream: the shortest age in the route's rules, at most the lifetime of a session.

    Empty if no rule requires a factor. A stream must not live longer than the factor with which it began is fresh.
    """
    asked = requirements_of(rules)
    if not asked:
        return {}
    ages = [one.within for one in asked if one.within is not None]
    longest = min([sessions.lifetime, *ages])
    return {"max_stream_duration": {"max_stream_duration": render_duration(longest)}}


def is_met(requirement: Requirement) -> dict[str, Any]:
    """Match requests with a bound session that meets the requirement."""
    return {"filter_state": {"key": _BOUND, "string_match": {"contains": f",{_key(requirement)},"}}}


def requirements_of(rules: Iterable[DoorRule]) -> list[Requirement]:
    """Return the requirements of the rules, each once, sorted."""
    by_key = {_key(one): one for rule in rules for one in rule.residual.requirements}
    return [by_key[key] for key in sorted(by_key)]


def _comparison(application_id: str, asked: Sequence[Requirement]) -> str:
    """Return the expression of the word: `,key,key,` with the met requirements, or `no` without a bound session.

    There is one expression for the whole route, because even a short one costs a microsecond or more. If a claim that
    binds the session is missing, the expression fails, and the word is `-`.
    """
    all_met = " && ".join(map(_is_shown, asked))
    every = f"',{','.join(map(_key, asked))},'"
    each = ", ".join(f"{_is_shown(one)} ? '{_key(one)},' : ''" for one in asked)
    some = "','" if len(asked) == 1 else f"[',', {each}].join('')"
    return f"{_binding(application_id)} ? ({all_met} ? {every} : {some}) : 'no'"


def _binding(application_id: str) -> str:
    """Return the condition that binds a session. A token without an assertion is not ours: its header would be `-`."""
    return (
        f"{_claim('aud')} == '{application_id}'"
        f" && {_claim('fp')} == connection.sha256_peer_certificate_digest"
        f" && bytes({_claim('epoch')}) == filter_state['{ConnectionFact.EPOCH.state_key}']"
        f" && '{CLAIM_HEADERS['assertion']}' in request.headers"
    )


def _claim(name: str) -> str:
    return f"request.headers['{CLAIM_HEADERS[name]}']"


def _is_shown(requirement: Requirement) -> str:
    shown = f"'{CLAIM_HEADERS[requirement.claim]}' in request.headers"
    if requirement.within is None:
        return shown
    at = f"timestamp(int({_claim(requirement.claim)}))"
    return f"{shown} && request.time - {at} <= duration('{_seconds(requirement.within)}s')"


def _key(requirement: Requirement) -> str:
    age = "" if requirement.within is None else f".{_seconds(requirement.within)}"
    return f"{requirement.claim}{age}"


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)


def _state_entry(key: str, expression: str) -> dict[str, Any]:
    source = {"text_format_source": {"inline_string": f"%CEL({expression})%"}, "formatters": [CEL]}
    return {"object_key": key, "factory_key": "envoy.string", "format_string": source}

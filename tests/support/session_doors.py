"""Doors of which some rules ask for a second factor, for tests of sessions: rules, facts, keys, and one request with a token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from doorward.core.factor_kinds import FactorKind
from doorward.policy.requirements import Requirement
from tests.support.compiled_door import CompiledDoor
from tests.support.door_site import APPS, CLEARED, READ, TELLER, allow, id_of
from tests.support.envoy_process import facts_of
from tests.support.session_tokens import Mint, cookie

Give = Callable[..., CompiledDoor]
"""Opens a door with sessions, altered as told; the same name gives the same door."""

FRESH = Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=5))
SEND = allow("fresh passkey", "tellers", "/vault/**", methods=("GET", "POST"), require=[FRESH])
LEVEL = allow("any factor", "tellers", "/desk/**", require=[Requirement(level=2)])
ALL = allow("all by passkey", "tellers", require=[FRESH])
RULES = {"pay": (*APPS["pay"], SEND, LEVEL), "other": (ALL,)}
ALLOWED = (id_of("pay", SEND), id_of("pay", LEVEL), id_of("pay", READ), id_of("other", ALL))
FACTS = facts_of(TELLER, CLEARED, *ALLOWED)
MINT = Mint()
PATH = "/vault/7"
"""Asks for a passkey of the last five minutes."""

MANAGER = ("listeners", "door", "filter_chains", "app_pay", "filters", "doorward.http", "typed_config")
PROVIDER = ("extensions", "doorward.session", "typed_config", "providers", "session")


def ask_with(
    door: CompiledDoor, token: str, path: str = PATH, *, method: str = "GET", certificate: str = "p256"
) -> int:
    """Return the status of one request with a token."""
    return door.site.ask(method, path, headers=[cookie(token)], certificate=certificate).status

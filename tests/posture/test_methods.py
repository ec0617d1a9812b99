"""What rules name in upper case is not passed in another case.

HTTP/1.1 parsers of Envoy refuse unknown methods; HTTP/2 has no such list. An attack succeeds where the
application receives a method that one which folds the case takes for the denied one.
"""

from __future__ import annotations

from typing import Any

import pytest

from doorward.policy.model import METHOD
from tests.posture.witness import Witness
from tests.support.attacks import Edit, H2Client, changed
from tests.support.compiled_door import Kept
from tests.support.door_site import allow, deny, id_of
from tests.support.envoy_process import facts_of

REST = allow("everybody may the rest", "all", "/**")
KEEP = deny("nobody deletes", "all", "/**", methods=["DELETE"])
APPS = {"pay": (REST, KEEP), "other": (REST,)}
"""Negative: everything but deleting is open; the clearance is not held."""


def _no_refused_methods(routes: list[Any]) -> list[Any]:
    return [one for one in routes if one["match"].get("headers", [{}])[0].get("name") != ":method"]


REFUSED = changed("routes", "app_pay", "virtual_hosts", "app_pay", "routes", to=_no_refused_methods)


def passed(kept: Kept, witness: Witness, *edits: Edit, method: str, h2: bool) -> bool:
    """Send a method; return whether the application got one that it may read as DELETE."""
    door = kept(*edits, name=f"methods {[one.says for one in edits]}", apps=APPS)
    door.authorizer.facts = facts_of(id_of("pay", REST))
    mark = len(witness.requests)
    door.ask("/accounts/8", method=method, h2=h2)
    return any(one.method.strip().upper() == "DELETE" for one in witness.since(mark))


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("method", ["DELETE", "delete", "Delete", "deletE"])
def test_no_spelling_passes_a_deny_rule(kept: Kept, witness: Witness, method: str, *, h2: bool) -> None:
    """A denied method is denied however it is written."""
    assert not passed(kept, witness, method=method, h2=h2)


@pytest.mark.parametrize("method", ["delete", "Delete", "deletE"])
def test_each_would_without_the_route(kept: Kept, witness: Witness, method: str) -> None:
    """Without the refusal of odd methods each of them gets through over HTTP/2."""
    assert passed(kept, witness, REFUSED, method=method, h2=True)


def test_ordinary_and_unusual_methods_pass(kept: Kept, witness: Witness) -> None:
    """The policy itself works: what the attacks miss is not everything."""
    door = kept(name="methods []", apps=APPS)
    door.authorizer.facts = facts_of(id_of("pay", REST))
    with door.connect(h2=True) as connection:
        client = H2Client(connection)
        assert [client.ask("/", method=one).status for one in ("GET", "PROPFIND", "M-SEARCH")] == [200] * 3
        assert client.ask("/", method="get").status == 400


# QUERY is not among them: Envoy refuses one without Content-Type itself, as its standard wants.
GOOD = ("VERSION-CONTROL", "M-SEARCH", "BASELINE-CONTROL", "MKCALENDAR", "PRI", "A", "A1", "X_Y", "Z" * 32)
ODD = ("Z" * 33, "1A", "A.B", "A!B", "A~", "-A", "_A", "Version-Control")


@pytest.mark.parametrize("method", [*GOOD, *ODD])
def test_both_versions_and_the_judge_agree_on_methods(kept: Kept, witness: Witness, method: str) -> None:
    """RFC 9110 section 9.1: what rules may name passes over HTTP/1.1 and HTTP/2; the rest is 400 over both."""
    door = kept(name="methods []", apps=APPS)
    door.authorizer.facts = facts_of(id_of("pay", REST), id_of("pay", KEEP))
    mark = len(witness.requests)
    got = [door.ask("/accounts/8", method=method, h2=h2) for h2 in (True, False)]
    wanted = 200 if METHOD.fullmatch(method) else 400
    assert got == [wanted, wanted]
    assert len(witness.since(mark)) == 2 * (wanted == 200)

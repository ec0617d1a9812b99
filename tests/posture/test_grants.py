"""What an answer of the authorizer can open.

Whatever it looks like, only whole, delimited ids in a string, together with the word that the
certificate was judged, open anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from doorward.enforcement.envoy.names import AuthorizerMetadata, ConnectionFact
from doorward.enforcement.plan import GatewayLimits
from doorward.gateway.authorizer.calls import Call, CheckResult
from doorward.gateway.authorizer.server import AuthorizerServer
from doorward.runtime.world import SystemClock
from tests.posture.witness import Witness
from tests.support import ext_authz_pb2
from tests.support.attacks import AUTHORIZER, CHAINS, changed, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import AUDITOR, CLEARED, TELLER
from tests.support.doorway import eventually
from tests.support.envoy_process import ToyAuthorizer, facts_of

pytestmark = pytest.mark.xdist_group("posture-grants")


FACTS = (*CHAINS, "filters", "doorward.facts", "typed_config", "on_downstream_data")
PAY = ("routes", "app_pay", "virtual_hosts", "app_pay", "routes", "*")
SLICES = (*PAY, "typed_per_filter_config", "*", "rbac", "rules")
OPEN = {
    "action": "ALLOW",
    "policies": {"any": {"permissions": [{"any": True}], "principals": [{"any": True}]}},
}
NO_RULES = changed(*SLICES, to=lambda _old: OPEN)
"""Rules that do not ask for grants: to show that the grants refuse."""


class Answers(ToyAuthorizer):
    """An authorizer with an answer that a function of the test builds."""

    build: Callable[[Any], None] | None = None

    def check(self, request: ext_authz_pb2.CheckRequest, context: grpc.ServicerContext) -> object:
        """Answer as told; the answer begins as OK with the facts of a teller."""
        if self.build is None:
            return super().check(request, context)
        answer = ext_authz_pb2.CheckResponse()
        for key, value in facts_of(TELLER, CLEARED).items():
            answer.dynamic_metadata.fields[key].string_value = value
        self.build(answer)
        return answer


@pytest.fixture
def odd(kept: Kept) -> CompiledDoor:
    """A door with an authorizer that gives odd answers."""
    return kept(name="odd", authorizer=Answers())


@pytest.fixture
def open_rules(kept: Kept) -> CompiledDoor:
    """The same without rules that ask for grants."""
    return kept(NO_RULES, name="odd and open", authorizer=Answers())


KINDS = {"number": 0, "bool": True, "null": None, "empty": ""}


@pytest.mark.parametrize("fact", [ConnectionFact.GRANTS, ConnectionFact.JUDGED], ids=["grants", "judged"])
@pytest.mark.parametrize("kind", [*KINDS, "absent"])
def test_a_fact_of_another_kind_opens_nothing(
    odd: CompiledDoor, open_rules: CompiledDoor, witness: Witness, kind: str, fact: ConnectionFact
) -> None:
    """Numbers, truth values, nulls, empty and missing facts are 403, and nothing reaches the upstream."""

    def build(answer: Any) -> None:
        if kind == "absent":
            del answer.dynamic_metadata.fields[fact.value]
        else:
            answer.dynamic_metadata.update({fact.value: KINDS[kind]})

    odd.authorizer.build = open_rules.authorizer.build = build  # type: ignore[attr-defined]
    mark = len(witness.requests)
    assert odd.site.ask("GET", "/accounts/7").status == 403
    assert witness.since(mark) == []
    assert open_rules.site.ask("GET", "/accounts/7").status == 200


@pytest.mark.parametrize("kind", ["list", "struct"])
def test_nested_grants_open_nothing(odd: CompiledDoor, open_rules: CompiledDoor, kind: str) -> None:
    """A list or an object of ids is JSON text to Envoy: its ids are not what rules look for."""

    def build(answer: Any) -> None:
        ids = [TELLER, CLEARED]
        answer.dynamic_metadata.update({"grants": ids if kind == "list" else dict.fromkeys(ids, True)})

    odd.authorizer.build = open_rules.authorizer.build = build  # type: ignore[attr-defined]
    assert odd.site.ask("GET", "/accounts/7").status == 403
    assert open_rules.site.ask("GET", "/accounts/7").status == 200


@pytest.mark.parametrize("what", ["no metadata", "empty answer"])
def test_an_answer_without_metadata_opens_nothing(
    odd: CompiledDoor, open_rules: CompiledDoor, what: str
) -> None:
    """OK and nothing else, also as zero bytes on the wire, is 403."""

    def build(answer: Any) -> None:
        answer.Clear()
        if what == "no metadata":
            answer.status.SetInParent()

    odd.authorizer.build = open_rules.authorizer.build = build  # type: ignore[attr-defined]
    assert odd.site.ask("GET", "/accounts/7").status == 403
    assert open_rules.site.ask("GET", "/accounts/7").status == 200


@pytest.mark.parametrize(
    "text",
    [f",%REQ(X-GRANTS)%,{CLEARED},", "%DYNAMIC_METADATA(a:b)%", f"%REQ(X-GRANTS?:AUTHORITY)%,{CLEARED},"],
)
def test_formatters_in_an_answer_are_not_expanded(odd: CompiledDoor, text: str) -> None:
    """A client cannot bring its own grants in a header by way of the authorizer's text."""

    def build(answer: Any) -> None:
        answer.dynamic_metadata.fields[ConnectionFact.GRANTS.value].string_value = text

    odd.authorizer.build = build  # type: ignore[attr-defined]
    headers = [("X-Grants", f",{TELLER},")]
    assert odd.site.ask("GET", "/accounts/7", headers=headers).status == 403


def test_grants_from_a_header_would_open_everything(kept: Kept) -> None:
    """If grants were taken from the request instead of the connection, a client could choose them."""
    manager = (*CHAINS, "filters", "doorward.http", "typed_config", "http_filters")

    def from_request(filters: list[Any]) -> list[Any]:
        return [_facts_of_request(), *filters]

    door = kept(changed(*manager, to=from_request), without(*FACTS, 1), name="from header")
    door.authorizer.facts = facts_of()
    headers = [("X-Grants", f",{TELLER},{CLEARED},")]
    assert door.site.ask("GET", "/accounts/7").status == 403
    assert door.site.ask("GET", "/accounts/7", headers=headers).status == 200


def _facts_of_request() -> dict[str, Any]:
    value = {
        "object_key": "doorward.grants",
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": "%REQ(X-GRANTS)%"}},
    }
    kind = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
    return {"name": "from-request", "typed_config": {"@type": kind, "on_request_headers": [value]}}


class TestWholeIds:
    """Ids are delimited on both sides."""

    WHOLE = changed(
        *(*PAY, "typed_per_filter_config", "*", "rbac", "rules", "policies"),
        to=lambda old: _undelimited(old),  # noqa: PLW0108 - defined below
    )

    @pytest.mark.parametrize("wrong", [f"x{TELLER}", f"{TELLER}x", f"{TELLER}{CLEARED}"])
    def test_an_id_inside_another_opens_nothing(self, door: CompiledDoor, wrong: str) -> None:
        """A grant that only contains the id is another grant."""
        door.authorizer.facts = facts_of(wrong, CLEARED)
        assert door.site.ask("GET", "/accounts/7").status == 403

    def test_without_the_delimiters_it_would(self, kept: Kept) -> None:
        """Without the commas in the matcher a longer id counts as a shorter one."""
        door = kept(self.WHOLE, name="undelimited")
        door.authorizer.facts = facts_of(f"x{TELLER}", CLEARED)
        assert door.site.ask("GET", "/accounts/7").status == 200


def _undelimited(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: one.strip(",") if key == "contains" else _undelimited(one) for key, one in value.items()}
    return [_undelimited(one) for one in value] if isinstance(value, list) else value


class TestJudged:
    """Section 10, row "self-made CA in page mode": an identity counts only if the certificate was judged."""

    JUDGED = (*PAY, "typed_per_filter_config", "doorward.allow", "rbac", "rules", "policies")

    @pytest.mark.parametrize("said", ["0", "", "-", "true", "11", " 1"])
    def test_grants_without_the_word_open_nothing(
        self, door: CompiledDoor, witness: Witness, said: str
    ) -> None:
        """With any other facts, `judged` must be 1."""
        mark = len(witness.requests)
        door.authorizer.facts = facts_of(TELLER, AUDITOR, CLEARED, judged=said)
        assert door.site.ask("GET", "/accounts/7").status == 403
        assert door.site.ask("GET", "/elsewhere").status == 403
        assert witness.since(mark) == []

    def test_without_that_matcher_they_do(self, kept: Kept, witness: Witness) -> None:
        """Without it an unjudged connection reaches the application with the identity that it claims."""
        mark = len(witness.requests)
        door = kept(changed(*self.JUDGED, to=lambda _old: OPEN["policies"]), name="unjudged")
        door.authorizer.facts = facts_of(TELLER, AUDITOR, CLEARED, judged="0")
        assert door.site.ask("GET", "/accounts/7").status == 200
        assert witness.since(mark)[0].all_of("doorward-principal") == ["person/alice"]


class _OurServer(ToyAuthorizer):
    """The gateway's own server around answers that a test makes."""

    @contextmanager
    def serving(self, path: Path) -> Iterator[ToyAuthorizer]:
        """Serve on a unix socket for as long as the block runs."""
        server = AuthorizerServer(self, path, clock=SystemClock())
        server.start()
        try:
            yield self
        finally:
            server.stop(0)

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Answer with the facts of the test."""
        for call in calls:
            call.reply(CheckResult(facts=self.facts, reasons=()))


@pytest.mark.parametrize("fact", ConnectionFact, ids=lambda fact: fact.value)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_an_incomplete_answer_never_leaves_the_gateway(
    kept: Kept, door: CompiledDoor, fact: ConnectionFact, value: str | None
) -> None:
    """Our server refuses if a fact is missing; passed on, the application would read `-` as a name."""
    complete = facts_of(TELLER, CLEARED)
    facts = {name: one for name, one in complete.items() if name != fact.value}
    if value is not None:
        facts[fact.value] = value
    ours = kept(name="our server", authorizer=_OurServer())
    ours.authorizer.facts = complete
    assert ours.site.ask("GET", "/accounts/7").status == 200
    ours.authorizer.facts = facts
    with pytest.raises(OSError, match=r"ACCESS_DENIED|reset|EOF"):
        ours.site.ask("GET", "/accounts/7")
    if fact is ConnectionFact.PRINCIPAL and value is None:
        door.authorizer.facts = facts
        heard = dict(door.site.ask("GET", "/accounts/7").seen["headers"])
        assert heard["doorward-principal"] == "-"


class TestAsked:
    """Section 10, row "initial_metadata": what the authorizer is asked about comes from the configuration."""

    METADATA = (*AUTHORIZER, "grpc_service", "initial_metadata")

    def test_the_application_is_a_constant_of_the_chain(self, door: CompiledDoor) -> None:
        """Server name in capitals, another Host: the application stays the chain's."""
        context = door.site.tls("p256")
        context.check_hostname = False
        with door.site.connect("PAY.test", context=context) as connection:
            door.site.ask("GET", "/accounts/7", over=connection, host="other.test")
        assert door.authorizer.asked[-1][AuthorizerMetadata.APPLICATION.value] == "app_pay"

    def test_taken_from_the_server_name_it_is_the_clients_word(self, kept: Kept) -> None:
        """With %REQUESTED_SERVER_NAME% in its place the client writes what the authorizer is asked."""
        to = [{"key": AuthorizerMetadata.APPLICATION.value, "value": "%REQUESTED_SERVER_NAME%"}]
        names = ("filter_chain_matcher", "matcher_tree", "exact_match_map", "map")
        wild = changed(
            "listeners", "door", *names, to=lambda old: {**old, "app-other.pay.test": old["pay.test"]}
        )
        door = kept(changed(*self.METADATA, to=to), wild, name="sni")
        context = door.site.tls("p256")
        context.check_hostname = False
        with door.site.connect("app-other.pay.test", context=context) as connection:
            door.site.ask("GET", "/accounts/7", over=connection)
        assert door.authorizer.asked[-1][AuthorizerMetadata.APPLICATION.value] == "app-other.pay.test"


def test_a_client_cannot_send_the_authorizers_metadata(door: CompiledDoor) -> None:
    """Headers of the same names as the call's metadata change nothing of the question."""
    headers = [(one.value, "app_other") for one in AuthorizerMetadata]
    assert door.site.ask("GET", "/accounts/7", headers=headers).status == 200
    assert door.authorizer.asked[-1][AuthorizerMetadata.APPLICATION.value] == "app_pay"


def test_slow_answers_let_nothing_pass_before(kept: Kept, witness: Witness) -> None:
    """No request reaches the application before the answer, allowed or refused; without the filter it does."""
    door = kept(name="slow", limits=GatewayLimits(authorizer=timedelta(seconds=60)))
    try:
        for facts, arrives in ((facts_of(TELLER, CLEARED), 1), (None, 0)):
            door.authorizer.facts, door.authorizer.delay_seconds = facts, 50.0
            mark, asked = len(witness.requests), len(door.authorizer.asked)
            with door.connect() as connection:
                request = b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\n\r\n"
                connection.sendall(request)
                assert eventually(lambda asked=asked: len(door.authorizer.asked) > asked)  # type: ignore[misc]
                connection.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                assert witness.since(mark) == []
                door.authorizer.delay_seconds = 0.0
                connection.settimeout(60)
                if arrives:
                    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
                else:
                    with pytest.raises(OSError, match=r"ACCESS_DENIED|reset"):
                        connection.recv(4096)
            assert len(witness.since(mark)) == arrives
    finally:
        door.authorizer.delay_seconds = 0.0
    unasked = kept(without(*CHAINS, "filters", "doorward.authorizer"), NO_RULES, name="unasked")
    mark = len(witness.requests)
    assert unasked.site.ask("GET", "/accounts/7").status == 200
    assert unasked.authorizer.asked == []
    assert len(witness.since(mark)) == 1


def test_without_the_authorizers_filter_rules_still_refuse(kept: Kept) -> None:
    """A chain that lost the filter asks no authorizer, so no connection holds grants, so all is 403."""
    door = kept(without(*CHAINS, "filters", "doorward.authorizer"), name="unasked, with rules")
    assert door.site.ask("GET", "/accounts/7").status == 403

"""One Envoy's side of the stream, without any stream: what is sent, when, and when it counts as answered."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.gateway.publishing.discovery import subscriptions as module
from doorward.gateway.publishing.discovery.messages import (
    CLUSTER,
    EXTENSION,
    LISTENER,
    ROUTES,
    SECRET,
    DiscoveryRequest,
    PackedResource,
)
from doorward.gateway.publishing.discovery.subscriptions import Key, Response, Subscriptions
from tests.support.refusals import refused


def resource(kind: str, name: str, version: str = "1") -> PackedResource:
    """A resource with any content."""
    return PackedResource(type_url=kind, name=name, version=version, body=f"body {version}".encode())


class Talk:
    """An Envoy's stream, and what it shall have in force."""

    def __init__(self, *wanted: PackedResource) -> None:
        self.state = Subscriptions()
        self.wanted: dict[Key, PackedResource] = {}
        self.put(*wanted)

    def put(self, *resources: PackedResource) -> None:
        """Change or add."""
        self.wanted |= {(one.type_url, one.name): one for one in resources}
        self.state.note_changed([(one.type_url, one.name) for one in resources])

    def remove(self, *keys: Key) -> None:
        """Take out."""
        for key in keys:
            del self.wanted[key]
        self.state.note_changed(keys)

    def ask(self, kind: str, *names: str, versions: dict[str, str] | None = None) -> None:
        """Subscribe."""
        self.state.receive(
            DiscoveryRequest(type_url=kind, subscribe=names, versions=versions or {}), self.wanted
        )

    def give_up(self, kind: str, *names: str) -> None:
        """Unsubscribe."""
        self.state.receive(DiscoveryRequest(type_url=kind, unsubscribe=names), self.wanted)

    def answer(self, response: Response, refusal: str | None = None) -> None:
        """Acknowledge or refuse."""
        kind = response.key[0]
        self.state.receive(
            DiscoveryRequest(type_url=kind, nonce=response.nonce, refusal=refusal), self.wanted
        )

    def sent(self) -> list[Response]:
        """Everything that is to be sent now."""
        found = []
        while (one := self.state.next_response(self.wanted)) is not None:
            found.append(one)
        return found

    def only(self) -> Response:
        """The one response that is to be sent now."""
        (found,) = self.sent()
        return found

    def exchange(self) -> list[Key]:
        """Send everything, acknowledge it, and return the keys."""
        found = self.sent()
        for one in found:
            self.answer(one)
        return [one.key for one in found]

    def is_settled(self, kind: str, name: str) -> bool:
        """Whether Envoy answered for what is wanted."""
        return self.state.is_settled((kind, name), self.wanted)


PAY, WEB = resource(ROUTES, "pay"), resource(ROUTES, "web")


# 1. what Envoy asks for


def test_wildcard_types_need_no_names() -> None:
    """Clusters and listeners are sent once their type was asked for; new ones too, and not before."""
    talk = Talk(resource(CLUSTER, "pay"), resource(LISTENER, "door"))
    assert talk.sent() == []
    assert not talk.state.asks_for((CLUSTER, "pay"))
    talk.ask(CLUSTER)
    assert talk.exchange() == [(CLUSTER, "pay")]
    talk.put(resource(CLUSTER, "web"))
    assert talk.exchange() == [(CLUSTER, "web")]
    talk.ask(LISTENER, "*")
    assert talk.exchange() == [(LISTENER, "door")]
    assert talk.state.asks_for((CLUSTER, "any"))


@pytest.mark.parametrize("kind", [SECRET, EXTENSION, ROUTES])
def test_other_types_are_sent_by_name(kind: str) -> None:
    """A name that was not asked for is not sent, also if it changes; a name without a resource is sent when there is one."""
    talk = Talk(resource(kind, "pay"), resource(kind, "web"))
    talk.ask(kind)
    assert talk.sent() == []
    talk.ask(kind, "pay", "new")
    assert talk.exchange() == [(kind, "pay")]
    talk.put(resource(kind, "web", "2"))
    assert talk.sent() == []
    talk.put(resource(kind, "new"))
    assert talk.exchange() == [(kind, "new")]


def test_an_empty_wildcard_type_is_told() -> None:
    """If there is no cluster, Envoy gets one empty response; otherwise it would wait before it asks for listeners."""
    talk = Talk()
    talk.ask(CLUSTER)
    told = talk.only()
    assert (told.key, told.resource) == ((CLUSTER, ""), None)
    talk.answer(told)
    assert talk.sent() == []
    assert talk.state.acknowledged == {}
    talk.put(resource(CLUSTER, "pay"))
    assert talk.exchange() == [(CLUSTER, "pay")]


def test_an_unknown_type_is_ignored() -> None:
    """Envoy may know types that this gateway does not have."""
    talk = Talk(PAY)
    talk.ask("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "pay")
    assert talk.sent() == []


def test_too_many_names_end_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of one type are counted over all requests."""
    monkeypatch.setattr(module, "MOST_NAMES", 3)
    talk = Talk()
    talk.ask(ROUTES, "a", "b")
    talk.ask(SECRET, "a", "b")
    talk.ask(ROUTES, "b", "c")
    with refused(MalformedInput, "discovery-names-too-many"):
        talk.ask(ROUTES, "d")


# 2. what is sent


def test_types_are_sent_in_the_order_of_publishing() -> None:
    """Whatever the order of the questions: what is referred to comes first."""
    kinds = (ROUTES, LISTENER, EXTENSION, SECRET, CLUSTER)
    talk = Talk(*(resource(kind, "pay") for kind in kinds))
    for kind in kinds:
        talk.ask(kind, *(() if kind in (CLUSTER, LISTENER) else ("pay",)))
    assert [kind for kind, _ in talk.exchange()] == [CLUSTER, SECRET, EXTENSION, LISTENER, ROUTES]


def test_one_resource_in_each_response() -> None:
    """Each has a nonce of its own: a refusal concerns one resource."""
    talk = Talk(PAY, WEB)
    talk.ask(ROUTES, "pay", "web")
    first, second = talk.sent()
    assert first.nonce != second.nonce
    assert (first.resource, second.resource) == (PAY, WEB)


def test_what_envoy_has_is_not_sent() -> None:
    """Only another version is a reason to send."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    talk.exchange()
    talk.put(resource(ROUTES, "pay"))
    assert talk.sent() == []
    talk.put(resource(ROUTES, "pay", "2"))
    assert talk.exchange() == [(ROUTES, "pay")]


def test_only_the_newest_version_is_sent() -> None:
    """Versions that are not wanted any more when their turn comes are left out."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    for version in "234":
        talk.put(resource(ROUTES, "pay", version))
    sent = talk.only()
    assert sent.resource is not None
    assert sent.resource.version == "4"


def test_clusters_are_removed_last() -> None:
    """A route names its cluster until the route has changed, also if the cluster was taken out first."""
    talk = Talk(resource(CLUSTER, "pay"), resource(CLUSTER, "old"), PAY)
    talk.ask(CLUSTER)
    talk.ask(ROUTES, "pay")
    talk.exchange()
    talk.remove((CLUSTER, "old"))
    talk.put(resource(ROUTES, "pay", "2"))
    table, removal = talk.sent()
    assert table.key == (ROUTES, "pay")
    assert (removal.key, removal.resource) == ((CLUSTER, "old"), None)
    assert not talk.is_settled(CLUSTER, "old")
    talk.answer(removal)
    assert talk.is_settled(CLUSTER, "old")
    assert (CLUSTER, "old") not in talk.state.acknowledged


def test_a_cluster_that_comes_back_is_not_removed() -> None:
    """If the removal was not sent yet, nothing is; if it was, the cluster is sent again."""
    talk = Talk(resource(CLUSTER, "pay"))
    talk.ask(CLUSTER)
    talk.exchange()
    talk.remove((CLUSTER, "pay"))
    talk.put(resource(CLUSTER, "pay"))
    assert talk.sent() == []
    talk.remove((CLUSTER, "pay"))
    removal = talk.only()
    talk.put(resource(CLUSTER, "pay"))
    again = talk.only()
    talk.answer(removal)
    assert not talk.is_settled(CLUSTER, "pay")
    talk.answer(again)
    assert talk.is_settled(CLUSTER, "pay")
    assert talk.state.acknowledged == {(CLUSTER, "pay"): "1"}


def test_a_cluster_that_comes_back_between_two_removals_stays() -> None:
    """Its removal was already next."""
    talk = Talk(resource(CLUSTER, "pay"), resource(CLUSTER, "web"))
    talk.ask(CLUSTER)
    talk.exchange()
    talk.remove((CLUSTER, "pay"), (CLUSTER, "web"))
    first = talk.state.next_response(talk.wanted)
    assert first is not None
    (other,) = {(CLUSTER, "pay"), (CLUSTER, "web")} - {first.key}
    talk.put(resource(*other))
    assert talk.sent() == []


def test_other_names_are_not_removed() -> None:
    """Connections of a chain that drains may need its table: Envoy itself gives it up."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    talk.exchange()
    talk.remove((ROUTES, "pay"))
    assert talk.sent() == []
    assert not talk.is_settled(ROUTES, "pay")
    talk.give_up(ROUTES, "pay")
    assert talk.is_settled(ROUTES, "pay")
    assert not talk.state.asks_for((ROUTES, "pay"))


# 3. what Envoy answers


def test_acknowledged_is_in_force() -> None:
    """Sent is not enough: only the answer counts, and only for its version."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    first = talk.only()
    assert not talk.is_settled(ROUTES, "pay")
    talk.put(resource(ROUTES, "pay", "2"))
    second = talk.only()
    talk.answer(first)
    assert not talk.is_settled(ROUTES, "pay")
    talk.answer(second)
    assert talk.is_settled(ROUTES, "pay")
    assert talk.state.acknowledged == {(ROUTES, "pay"): "2"}


def test_an_unknown_nonce_answers_nothing() -> None:
    """An answer counts once, and for one resource."""
    talk = Talk(PAY, WEB)
    talk.ask(ROUTES, "pay", "web")
    first, _ = talk.sent()
    talk.answer(first)
    talk.answer(first, "late")
    talk.state.receive(DiscoveryRequest(type_url=ROUTES, nonce="99"), talk.wanted)
    assert talk.state.acknowledged == {(ROUTES, "pay"): "1"}
    assert talk.state.refused == {}
    assert not talk.is_settled(ROUTES, "web")


def test_a_refused_version_is_answered_for_and_not_sent_again() -> None:
    """The former version stays in force; also a look without news or another change sends it not again."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    talk.exchange()
    talk.put(resource(ROUTES, "pay", "bad"))
    talk.answer(talk.only(), "odd")
    assert talk.is_settled(ROUTES, "pay")
    assert talk.state.acknowledged[ROUTES, "pay"] == "1"
    assert talk.state.refused[ROUTES, "pay"].words == "odd"
    talk.put(resource(ROUTES, "pay", "bad"))
    assert talk.sent() == []
    talk.put(resource(ROUTES, "pay", "good"))
    assert not talk.is_settled(ROUTES, "pay")
    assert talk.exchange() == [(ROUTES, "pay")]
    assert talk.state.refused == {}


def test_the_former_version_is_sent_after_a_refused_one() -> None:
    """Envoy must say which of both it has."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    talk.exchange()
    talk.put(resource(ROUTES, "pay", "bad"))
    talk.answer(talk.only(), "odd")
    talk.put(PAY)
    assert talk.exchange() == [(ROUTES, "pay")]
    assert talk.is_settled(ROUTES, "pay")


def test_a_version_on_its_way_is_not_in_force_nor_out_of_it() -> None:
    """If a version was sent and is not wanted any more, nothing is settled until Envoy answered for it, too."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    talk.exchange()
    talk.put(resource(ROUTES, "pay", "2"))
    late = talk.only()
    talk.put(PAY)
    assert not talk.is_settled(ROUTES, "pay")
    back = talk.only()
    talk.answer(late)
    assert not talk.is_settled(ROUTES, "pay")
    talk.answer(back)
    assert talk.is_settled(ROUTES, "pay")


def test_a_name_that_is_asked_again_is_sent_again() -> None:
    """Envoy lost it: what it said before does not count any more, be it yes or no."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    talk.exchange()
    talk.ask(ROUTES, "pay")
    assert not talk.is_settled(ROUTES, "pay")
    again = talk.only()
    assert again.key == (ROUTES, "pay")
    talk.answer(again, "odd")
    assert talk.is_settled(ROUTES, "pay")
    talk.ask(ROUTES, "pay")
    assert not talk.is_settled(ROUTES, "pay")
    assert talk.exchange() == [(ROUTES, "pay")]


def test_an_answer_for_a_name_that_was_given_up_counts_for_nothing() -> None:
    """If the name comes back, it is sent and answered again."""
    talk = Talk(PAY)
    talk.ask(ROUTES, "pay")
    late = talk.only()
    talk.give_up(ROUTES, "pay")
    talk.answer(late)
    assert talk.state.acknowledged == {}
    talk.ask(ROUTES, "pay")
    assert not talk.is_settled(ROUTES, "pay")
    assert talk.exchange() == [(ROUTES, "pay")]


def test_a_refusal_is_forgotten_with_its_cluster() -> None:
    """A cluster that was refused and removed may come back: then Envoy is asked again."""
    talk = Talk(resource(CLUSTER, "pay"))
    talk.ask(CLUSTER)
    talk.answer(talk.only(), "odd")
    talk.remove((CLUSTER, "pay"))
    talk.exchange()
    talk.put(resource(CLUSTER, "pay"))
    assert not talk.is_settled(CLUSTER, "pay")
    assert talk.exchange() == [(CLUSTER, "pay")]


# 4. after a reconnection


def test_after_a_reconnection_nothing_is_sent_twice() -> None:
    """Envoy tells what it has, which counts as acknowledged; the rest is sent, and clusters that are gone are removed."""
    talk = Talk(resource(CLUSTER, "pay"), resource(CLUSTER, "new"), resource(LISTENER, "door", "2"), PAY, WEB)
    talk.ask(CLUSTER, versions={"pay": "1", "old": "1"})
    talk.ask(LISTENER, versions={"door": "1"})
    talk.ask(ROUTES, "pay", "web", versions={"pay": "1", "web": "0"})
    assert talk.is_settled(CLUSTER, "pay")
    assert talk.is_settled(ROUTES, "pay")
    assert not talk.is_settled(CLUSTER, "old")
    assert not talk.is_settled(LISTENER, "door")
    sent = talk.exchange()
    assert sent == [(CLUSTER, "new"), (LISTENER, "door"), (ROUTES, "web"), (CLUSTER, "old")]
    assert all(talk.is_settled(*key) for key in (*sent, *talk.wanted))


def test_envoys_that_have_everything_are_sent_nothing() -> None:
    """As after a restart of the gateway without a change."""
    talk = Talk(resource(CLUSTER, "pay"), PAY)
    talk.ask(CLUSTER, versions={"pay": "1"})
    talk.ask(ROUTES, "pay", versions={"pay": "1"})
    assert talk.sent() == []
    assert talk.state.acknowledged == {(CLUSTER, "pay"): "1", (ROUTES, "pay"): "1"}


def test_versions_count_once() -> None:
    """A later request cannot say that Envoy has what it was not sent."""
    talk = Talk(PAY)
    talk.ask(ROUTES)
    talk.state.receive(DiscoveryRequest(type_url=ROUTES, versions={"pay": "1"}), talk.wanted)
    assert talk.state.acknowledged == {}


def test_no_content_in_a_representation() -> None:
    """A secret's body is a key: a response that is logged by accident does not show it."""
    talk = Talk(resource(SECRET, "pay"))
    talk.ask(SECRET, "pay")
    sent = talk.only()
    assert sent.resource is not None
    assert sent.resource.body == b"body 1"
    assert "body 1" not in repr(sent)

"""The stream to Envoy keeps its promises in any order of subscriptions, answers, refusals, changes and reconnections."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from doorward.gateway.publishing.discovery.messages import (
    CLUSTER,
    LISTENER,
    ROUTES,
    SECRET,
    TYPES,
    DiscoveryRequest,
    PackedResource,
)
from doorward.gateway.publishing.discovery.subscriptions import Key, Response, Subscriptions

BAD = ("b", "c")
"""Versions that Envoy refuses."""

KEYS = [(kind, name) for kind in (CLUSTER, LISTENER, SECRET, ROUTES) for name in ("x", "y")]
BY_NAME = [one for one in KEYS if one[0] in (SECRET, ROUTES)]
CLUSTERS = [one for one in KEYS if one[0] == CLUSTER]


class Model:
    """An Envoy that answers each response in its order, and what it shall have in force."""

    def __init__(self) -> None:
        self.state = Subscriptions()
        self.wanted: dict[Key, PackedResource] = {}
        self.in_force: dict[Key, str] = {}
        self.asked: set[Key] = set()
        self.waiting: deque[Response] = deque()  # sent, and not seen by Envoy yet
        self.sent: dict[Key, str] = {}  # since the last cause to send it again
        self.connect()

    def connect(self) -> None:
        """Connect, perhaps again: what was on its way is lost, and Envoy tells what it has."""
        self.state = Subscriptions()
        self.waiting.clear()
        self.sent = dict(self.in_force)
        for kind in TYPES:
            names = tuple(name for one, name in sorted(self.asked) if one == kind)
            versions = {name: version for (one, name), version in self.in_force.items() if one == kind}
            if names or kind in (CLUSTER, LISTENER):
                self.receive(DiscoveryRequest(type_url=kind, subscribe=names, versions=versions))

    def receive(self, request: DiscoveryRequest) -> None:
        self.state.receive(request, self.wanted)

    def put(self, key: Key, version: str) -> None:
        self.wanted[key] = PackedResource(type_url=key[0], name=key[1], version=version, body=b"")
        self.state.note_changed([key])

    def remove(self, key: Key) -> None:
        if self.wanted.pop(key, None) is not None:
            self.state.note_changed([key])

    def ask(self, key: Key) -> None:
        """Ask for a name; if it was asked for before, Envoy has lost the resource."""
        self.asked.add(key)
        for known in (self.in_force, self.sent):
            known.pop(key, None)
        self.receive(DiscoveryRequest(type_url=key[0], subscribe=(key[1],)))

    def give_up(self, key: Key) -> None:
        self.asked.discard(key)
        for known in (self.in_force, self.sent):
            known.pop(key, None)
        self.receive(DiscoveryRequest(type_url=key[0], unsubscribe=(key[1],)))

    def send(self) -> bool:
        """Send one response; check that there is a cause."""
        found = self.state.next_response(self.wanted)
        if found is None:
            return False
        if found.resource is not None:
            assert self.sent.get(found.key) != found.resource.version
            self.sent[found.key] = found.resource.version
        else:
            self.sent.pop(found.key, None)
        self.waiting.append(found)
        return True

    def answer(self) -> bool:
        """Have Envoy take one response."""
        if not self.waiting:
            return False
        one = self.waiting.popleft()
        refusal = None
        if one.resource is None:
            self.in_force.pop(one.key, None)
        elif one.resource.version in BAD:
            refusal = "bad"
        elif one.key in self.asked or one.key not in BY_NAME:
            self.in_force[one.key] = one.resource.version
        self.receive(DiscoveryRequest(type_url=one.key[0], nonce=one.nonce, refusal=refusal))
        return True

    def check(self) -> None:
        """What is called settled is in force, or refused, or gone."""
        for key in KEYS:
            if not self.state.is_settled(key, self.wanted):
                continue
            resource = self.wanted.get(key)
            if resource is None:
                assert key not in self.in_force
            elif resource.version not in BAD:
                assert self.in_force.get(key) == resource.version


@dataclass(frozen=True)
class Step:
    """One event; `version` for `put` only."""

    what: str
    key: Key
    version: str = ""


STEPS = st.lists(
    st.one_of(
        st.builds(Step, what=st.just("put"), key=st.sampled_from(KEYS), version=st.sampled_from("abcd")),
        st.builds(Step, what=st.just("remove"), key=st.sampled_from(CLUSTERS)),
        st.builds(Step, what=st.sampled_from(["ask", "give up"]), key=st.sampled_from(BY_NAME)),
        st.builds(
            Step, what=st.sampled_from(["send", "send", "answer", "answer", "connect"]), key=st.just(KEYS[0])
        ),
    ),
    max_size=60,
)


def play(model: Model, step: Step) -> None:
    """Do one step."""
    match step.what:
        case "put":
            model.put(step.key, step.version)
        case "remove":
            model.remove(step.key)
        case "ask":
            model.ask(step.key)
        case "give up":
            model.give_up(step.key)
        case "send":
            model.send()
        case "answer":
            model.answer()
        case "connect":
            model.connect()


@given(steps=STEPS)
def test_everything_wanted_comes_into_force_and_settled_is_never_a_lie(steps: list[Step]) -> None:
    """At every moment what is settled is true; in the end all that Envoy asks for is settled and, unless refused, in force."""
    model = Model()
    for step in steps:
        play(model, step)
        model.check()
    while model.send() or model.answer():
        model.check()
    for key in KEYS:
        if key in BY_NAME and key not in model.asked:
            continue
        assert model.state.is_settled(key, model.wanted)
        resource = model.wanted.get(key)
        if resource is not None and resource.version in BAD:
            assert model.state.refused[key].version == resource.version
        else:
            assert model.in_force.get(key) == (resource and resource.version)
    assert model.state.acknowledged == model.in_force

"""The policy gate: who may go on when, with real threads and no waiting for time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from doorward.gateway.authorizer.gate import MOST_RECENT, PolicyGate
from doorward.policy.model import AppPolicy, Document, HttpUpstream, TcpUpstream
from doorward.stores.policy_snapshot import PolicySnapshot

UP = HttpUpstream(host="127.0.0.1", port=9000)
PAY = AppPolicy(name="pay", hosts=("pay.test",), upstream=UP)
PAY_MOVED = AppPolicy(name="pay", hosts=("pay.test",), upstream=HttpUpstream(host="127.0.0.1", port=9001))
WEB = AppPolicy(name="web", hosts=("web.test",), upstream=UP)
TCP = AppPolicy(name="mqtt", hosts=("mqtt.test",), upstream=TcpUpstream(host="127.0.0.1", port=1883))


def snapshot(revision: int, *apps: AppPolicy) -> PolicySnapshot:
    """A revision with these applications; each has its name for an id."""
    return PolicySnapshot(
        revision=revision,
        document=Document(trust_domain="corp.example", apps=apps),
        ids={app.name: app.name for app in apps},
        trust_domain="corp.example",
        issuers=(),
        partners={},
    )


def passes(gate: PolicyGate, revision: int, policy: AppPolicy = PAY, seconds: float = 0.0) -> bool:
    """Whether a judgement by this policy may go on."""
    waited = gate.wait(revision, policy.name, policy, seconds)
    assert gate.enforces(revision, policy.name, policy) is waited
    return waited


def test_nothing_is_in_force_before_the_first_opening() -> None:
    """A new gate admits by no revision, not even by the empty revision 0."""
    gate = PolicyGate()
    assert gate.revision == -1
    assert not passes(gate, 0)
    assert not passes(gate, 1)


def test_what_is_in_force_passes_and_nothing_older() -> None:
    """An older judgement must be repeated; a newer one goes on only if it used the same policy."""
    gate = PolicyGate()
    gate.open(snapshot(3, PAY))
    assert gate.revision == 3
    assert passes(gate, 3)
    assert not passes(gate, 2, seconds=10.0)
    assert passes(gate, 4)
    assert not passes(gate, 4, PAY_MOVED)
    assert not passes(gate, 4, WEB)
    assert not gate.wait(3, "other", PAY, 0.0)


def test_a_waiting_judgement_goes_on_when_the_gate_opens() -> None:
    """Opening wakes those who wait: the same policy passes, one that was passed over does not."""
    gate = PolicyGate()
    gate.open(snapshot(1))
    with ThreadPoolExecutor(2) as pool:
        same, passed = pool.submit(passes, gate, 3, PAY, 30.0), pool.submit(passes, gate, 2, PAY, 30.0)
        gate.open(snapshot(3, PAY))
        assert same.result(60)
        assert not passed.result(10)


def test_during_an_exchange_only_what_stays_the_same_passes() -> None:
    """Neither the old policy nor the new one of an application counts until it is known which is in force."""
    gate = PolicyGate()
    gate.open(snapshot(1, PAY, WEB))
    gate.begin_change(snapshot(9, PAY_MOVED, WEB))
    assert passes(gate, 2, WEB)
    assert not passes(gate, 2, PAY_MOVED)
    assert not passes(gate, 3, PAY)
    gate.begin_change(snapshot(10, PAY, WEB))  # the result of the first one is unknown
    assert not passes(gate, 3, PAY)
    assert passes(gate, 3, WEB)
    gate.open(snapshot(3, PAY))
    assert passes(gate, 3, PAY)


def test_nothing_passes_while_envoy_starts() -> None:
    """Its listener may be open before its tables are there: a connection waits until it has all of them."""
    gate = PolicyGate()
    gate.open(snapshot(1, PAY))
    gate.suspend()
    assert not passes(gate, 1, PAY)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(passes, gate, 1, PAY, 30.0)
        gate.open(snapshot(1, PAY))
        assert waiting.result(60)


def test_a_closed_application_admits_no_connection() -> None:
    """Envoy refused a part of it: its judgements wait for nothing, all others go on; the next revision opens it."""
    gate = PolicyGate()
    gate.open(snapshot(1, PAY, WEB))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(passes, gate, 2, PAY_MOVED, 30.0)
        gate.open(snapshot(2, PAY_MOVED, WEB), closed=["pay"])
        assert not waiting.result(10)
    assert gate.revision == 2
    assert not passes(gate, 2, PAY_MOVED, 30.0)
    assert not passes(gate, 2, PAY)
    assert passes(gate, 2, WEB)
    assert gate.closed_applications(snapshot(2, PAY_MOVED, WEB)) == ["pay"]
    with ThreadPoolExecutor(1) as pool:
        mended = pool.submit(passes, gate, 3, PAY, 30.0)
        gate.open(snapshot(3, PAY, WEB))
        assert mended.result(60)


def test_a_closed_tcp_application_forgets_its_former_policies() -> None:
    """A connection that waits for its first byte is not admitted by a policy of before."""
    gate = PolicyGate()
    gate.open(snapshot(1, TCP))
    gate.open(snapshot(2, TCP), closed={"mqtt"})
    assert gate.recently_enforced("mqtt") == ()
    assert not gate.has_refusal_page("mqtt")
    gate.open(snapshot(3, TCP))
    assert gate.recently_enforced("mqtt") == (TCP,)


def test_no_judgement_waits_for_a_refused_revision() -> None:
    """Applications that it changes are refused at once, the others go on, and the next revision is waited for."""
    gate = PolicyGate()
    gate.open(snapshot(1, PAY, WEB))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(passes, gate, 2, PAY_MOVED, 30.0)
        gate.refuse(2)
        assert not waiting.result(10)
    assert not passes(gate, 2, PAY_MOVED, 30.0)
    assert passes(gate, 2, WEB)
    with ThreadPoolExecutor(1) as pool:
        mended = pool.submit(passes, gate, 3, PAY_MOVED, 30.0)
        gate.open(snapshot(3, PAY_MOVED))
        assert mended.result(60)


def test_former_policies_of_a_tcp_application_are_remembered() -> None:
    """Newest first, each once, so many at most; what goes on being exchanged is not among them yet."""
    rules = [replace(TCP, hosts=(f"mqtt-{number}.test",)) for number in range(MOST_RECENT + 1)]
    gate = PolicyGate()
    gate.open(snapshot(1, rules[0], PAY))
    gate.open(snapshot(2, rules[1], PAY_MOVED))
    gate.open(snapshot(3, rules[1], PAY_MOVED, WEB))
    gate.begin_change(snapshot(4, rules[2]))
    assert gate.recently_enforced("mqtt") == (rules[1], rules[0])
    assert gate.recently_enforced("pay") == ()
    for number in range(2, MOST_RECENT + 1):
        gate.open(snapshot(number + 2, rules[number]))
    assert gate.recently_enforced("mqtt") == tuple(reversed(rules[1:]))

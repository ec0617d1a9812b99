"""The parts that need no kernel; what the kernel answers is tested in integration."""

import errno
import struct

import pytest

from doorward.core.errors import Unavailable
from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.sockdiag import CutOutcome, SocketFacts, TcpState

LOCAL, REMOTE = parse_endpoint("192.0.2.1:443"), parse_endpoint("198.51.100.7:5000")


def facts(
    *, cookie: int = 5, state: TcpState = TcpState.ESTABLISHED, remote: Endpoint = REMOTE
) -> SocketFacts:
    """Facts of one connection."""
    return SocketFacts(cookie, 1, state, LOCAL, remote)


def answer(family: int, state: int, source: bytes, target: bytes, *, inode: int = 9) -> bytes:
    """The kernel's answer, as bytes."""
    ports = struct.pack("!HH", 443, 5000)
    identity = ports + source.ljust(16, b"\0") + target.ljust(16, b"\0") + struct.pack("=III", 4, 7, 1)
    return struct.pack("=BBBB", family, state, 0, 0) + identity + struct.pack("=IIIII", 0, 0, 0, 33, inode)


@pytest.mark.parametrize(
    "named",
    [
        facts(cookie=0),
        facts(cookie=0xFFFF_FFFF_FFFF_FFFF),
        facts(state=TcpState.LISTEN),
        facts(state=TcpState.TIME_WAIT),
        facts(remote=Endpoint(b"\0\0\0\0", 0)),
    ],
)
def test_only_a_live_connection_may_be_destroyed(named: SocketFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wildcard cookie, no listener and no address without a peer ever reaches the kernel."""
    monkeypatch.setattr(sockdiag, "_ask", lambda *_: pytest.fail("the kernel was asked"))
    with pytest.raises(ValueError, match="named by its cookie"):
        sockdiag.destroy(named)


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.ENOENT, CutOutcome.GONE),
        (errno.ESTALE, CutOutcome.GONE),
        (errno.EPERM, CutOutcome.NOT_PERMITTED),
        (errno.EOPNOTSUPP, CutOutcome.NOT_PERMITTED),
    ],
)
def test_what_the_kernel_refuses(number: int, outcome: CutOutcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each refusal of the kernel has its outcome."""

    def refuse(*_: object) -> bytes:
        raise OSError(number, "no")

    monkeypatch.setattr(sockdiag, "_ask", refuse)
    assert sockdiag.destroy(facts()) is outcome


def test_a_kernel_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error is Unavailable, for looking, listing and destroying."""

    def refuse(*_: object) -> bytes:
        raise OSError(errno.ENOBUFS, "no")

    monkeypatch.setattr(sockdiag, "_ask", refuse)
    monkeypatch.setattr(sockdiag, "_list", refuse)
    for act in (
        lambda: sockdiag.find(LOCAL, REMOTE),
        lambda: sockdiag.dump([LOCAL]),
        lambda: sockdiag.dump_listeners(443),
        lambda: sockdiag.destroy(facts()),
    ):
        with pytest.raises(Unavailable) as caught:
            act()
        assert caught.value.code == "sockdiag-unavailable"


def test_answers_are_read() -> None:
    """Families, mapped addresses, scopes, cookies of 64 bits and unknown states are understood."""
    four = sockdiag._facts(answer(2, 1, b"\xc0\0\2\1", b"\xc6\x33\x64\7"))
    assert four == SocketFacts((1 << 32) | 7, 9, TcpState.ESTABLISHED, LOCAL, REMOTE)
    mapped = b"\0" * 10 + b"\xff\xff"
    assert sockdiag._facts(answer(10, 1, mapped + b"\xc0\0\2\1", mapped + b"\xc6\x33\x64\7")) == four
    six = sockdiag._facts(answer(10, 99, b"\xfe\x80" + b"\0" * 14, b"\xfe\x80" + b"\0" * 13 + b"\1"))
    assert (six.state, six.local.scope, str(six.remote)) == (TcpState.CLOSE, 4, "[fe80::1%4]:5000")


@pytest.mark.parametrize("data", [b"\1" * 16, struct.pack("=IHHII", 8, 3, 0, 1, 0) + b"x" * 8])
def test_messages_that_lie_about_their_length(data: bytes) -> None:
    """A message that claims more or less than there is, is an error and never read past."""
    with pytest.raises(OSError, match="cut short"):
        list(sockdiag._messages(data))


@pytest.mark.parametrize("number", [-(1 << 31), 5000, -5000])
def test_an_error_that_no_kernel_has_is_a_bad_message(number: int) -> None:
    """A number without a name does not end the thread that asked."""
    with pytest.raises(OSError, match="Bad message"):
        sockdiag._raise_refusal(struct.pack("=i", number))


def test_short_entries_are_refused() -> None:
    """An entry too short for its fields is an error."""
    with pytest.raises(OSError, match="cut short"):
        sockdiag._facts(b"\2\1")
    with pytest.raises(OSError, match="cut short"):
        sockdiag._take(b"\2\1", {443: {b""}}, frozenset(), set(), [])
    with pytest.raises(OSError, match="Bad message"):
        sockdiag._raise_refusal(b"")


@pytest.mark.parametrize(
    ("listener", "state", "inode", "taken"),
    [
        ("192.0.2.1:443", 1, 9, True),
        ("0.0.0.0:443", 1, 9, True),
        ("[::]:443", 1, 9, True),
        ("192.0.2.2:443", 1, 9, False),
        ("192.0.2.1:444", 1, 9, False),
        ("192.0.2.1:443", 1, 0, True),
        ("192.0.2.1:443", 4, 0, False),
        ("192.0.2.1:443", 8, 9, True),
    ],
)
def test_only_sockets_of_the_listeners_are_listed(
    listener: str, state: int, inode: int, *, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only sockets of the listener itself count: not of another address on the port, nor orphans."""
    found = answer(2, state, b"\xc0\0\2\1", b"\xc6\x33\x64\7", inode=inode)
    monkeypatch.setattr(sockdiag, "_list", lambda query: [found] if query[0] == 2 else [])
    listing = sockdiag.dump([parse_endpoint(listener)])
    assert (len(listing.sockets), len(listing.cookies)) == ((1, 1) if taken else (0, 0))
    skipped = sockdiag.dump([parse_endpoint(listener)], skip={(1 << 32) | 7})
    assert skipped.sockets == ()


def test_no_listeners_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without listeners the kernel is not asked, and nothing can be taken for ours."""
    monkeypatch.setattr(sockdiag, "_list", lambda _: pytest.fail("the kernel was asked"))
    assert sockdiag.dump([]).cookies == frozenset()


class FakeKernel:
    """A netlink socket: it takes requests for connections and has an answer for each, in the order given."""

    def __init__(self, *answers: tuple[int, bytes] | None) -> None:
        self._answers = list(answers)
        self._queue: list[bytes] = []
        self.datagrams = 0

    def send(self, data: bytes) -> None:
        self.datagrams += 1
        offset = 0
        while offset < len(data):
            length, _kind, _flags, sequence, _port = struct.unpack_from("=IHHII", data, offset)
            offset += length
            one = self._answers.pop(0)
            if one is not None:
                kind, body = one
                self._queue.append(struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body)

    def recv(self, _size: int, _flags: int) -> bytes:
        if not self._queue:
            raise BlockingIOError(errno.EAGAIN, "nothing is queued")
        return self._queue.pop()


FOUND = (20, answer(2, 1, LOCAL.address, REMOTE.address))
LISTENER = (20, answer(2, 10, LOCAL.address, b"\0\0\0\0"))
ABSENT = (2, struct.pack("=i", -errno.ENOENT))
REFUSED = (2, struct.pack("=i", -errno.EPERM))


def test_many_are_asked_for_in_one_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair gets its own answer, in any order of the answers: a connection, nothing, the listener, an error."""
    kernel = FakeKernel(FOUND, ABSENT, LISTENER, REFUSED, FOUND)
    monkeypatch.setattr(sockdiag._Channel, "open", lambda _: kernel)
    found = sockdiag.find_all([(LOCAL, REMOTE)] * 5)
    assert kernel.datagrams == 1
    assert found[0] == found[4] is not None
    assert found[1:3] == [None, None]
    assert isinstance(found[3], Unavailable)
    assert sockdiag.find_all([]) == []


def test_a_lost_answer_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the kernel dropped an answer, the requests of that datagram are Unavailable; the others are answered."""
    kernel = FakeKernel(*[FOUND] * 3, None, *[FOUND] * 66)
    monkeypatch.setattr(sockdiag._Channel, "open", lambda _: kernel)
    found = sockdiag.find_all([(LOCAL, REMOTE)] * 70)
    assert kernel.datagrams == 2
    assert all(isinstance(one, Unavailable) for one in found[:64])
    assert all(isinstance(one, SocketFacts) for one in found[64:])

"""Asking the kernel about TCP sockets: find one or many, list those of a listener, destroy one.

Not here: who a connection belongs to (registry) and when it must end (cutter, reconciler).
Standard: Linux sock_diag(7), NETLINK_SOCK_DIAG; `linux/inet_diag.h`, `linux/sock_diag.h`.

A socket is named by its *cookie*, a 64-bit number that the kernel does not use twice before the next boot. An address
alone is not enough: after a connection has closed, a look-up by its addresses returns the *listener*, and destroying
the listener closes the door for everybody. So this module has two rules: `find` never returns a listener, and
`destroy` always sends a real cookie and accepts only states in which a connection can still carry data.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from doorward.core.errors import Unavailable
from doorward.gateway.connections.endpoints import V4_BYTES, Endpoint, shorten

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_SOCK_DESTROY = 21
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_NO_COOKIE = 0xFFFF_FFFF_FFFF_FFFF
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_QUERY = struct.Struct("=BBBBI")  # struct inet_diag_req_v2 before its socket id
_IDENTITY = struct.Struct("=2s2s16s16sIII")  # struct inet_diag_sockid: ports, addresses, interface, cookie
_ANSWER = struct.Struct("=BBxx2s2s16s16sIIIxxxxxxxxxxxxII")  # struct inet_diag_msg
_BRIEF = struct.Struct("=BBxx2s2s16s16xIII")  # its beginning, enough to skip a socket cheaply
_WHOLE = struct.Struct("=IHHIIBBBBI2s2s16s16sIII")  # header, query and identity together
_ERRNO = struct.Struct("=i")
_PORT = struct.Struct("!H")
_ONE_ANSWER_BYTES = 2048  # an inet_diag_msg is 72 bytes; small attributes may follow
_ASKED_AT_ONCE = 64
"""Requests in one datagram: 4.6 KB, and their answers are far from filling the socket's buffer."""
_LISTING_BYTES = 1 << 16  # the kernel fills at most 32 KiB per message of a listing


class TcpState(IntEnum):
    """TCP states as Linux numbers them (`net/tcp_states.h`)."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12
    BOUND_INACTIVE = 13


CARRYING = frozenset({TcpState.ESTABLISHED, TcpState.FIN_WAIT1, TcpState.FIN_WAIT2, TcpState.CLOSE_WAIT})
"""States in which bytes can still pass in at least one direction.

Half-closed connections are included: if a client sends FIN and goes on reading, the state changes from
ESTABLISHED to CLOSE_WAIT. The client must not escape the cutter by that.
"""
_CARRYING_MASK = sum(1 << state for state in CARRYING)
_ANY_STATE = 0xFFFF_FFFF
_STATES = {int(state): state for state in TcpState}


@dataclass(frozen=True, slots=True)
class SocketFacts:
    """The kernel's facts about one TCP socket. `inode` is 0 while no process has it."""

    cookie: int
    inode: int
    state: TcpState
    local: Endpoint
    remote: Endpoint


class CutOutcome(Enum):
    """The result of an attempt to end a socket."""

    CUT = "cut"
    GONE = "gone"
    NOT_PERMITTED = "not-permitted"
    MISSED = "missed"  # alive, but in no process that we may reach


@dataclass(frozen=True, slots=True)
class SocketListing:
    """The sockets of some listeners: the cookies of all, and the facts of those that were not skipped."""

    cookies: frozenset[int]
    sockets: tuple[SocketFacts, ...]


def find(local: Endpoint, remote: Endpoint) -> SocketFacts | None:
    """Return the connection between two endpoints, or None if there is none (about 10 µs).

    Args:
        local: the listener's side, as the kernel sees it (not as PROXY protocol announces it).
        remote: the peer's side.

    Raises:
        Unavailable: the kernel cannot be asked (`sockdiag-unavailable`).

    Not checked: that the socket belongs to any particular process.
    """
    try:
        facts = _facts(_ask(_SOCK_DIAG_BY_FAMILY, _REQUEST, _query(local, remote, _NO_COOKIE)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise _unavailable(error) from error
    return _matching(facts, remote)


def find_all(pairs: Sequence[tuple[Endpoint, Endpoint]]) -> list[SocketFacts | Unavailable | None]:
    """Do the same as `find` for many connections: the requests go to the kernel together (about 5 µs for each).

    Args:
        pairs: the listener's side and the peer's side of each.

    Returns:
        For each pair, in this order, what `find` would return, or the error that it would raise.
    """
    found: list[SocketFacts | Unavailable | None] = []
    for start in range(0, len(pairs), _ASKED_AT_ONCE):
        some = pairs[start : start + _ASKED_AT_ONCE]
        try:
            found += _find_some(some)
        except OSError as error:
            found += [_unavailable(error)] * len(some)
    return found


def _find_some(pairs: Sequence[tuple[Endpoint, Endpoint]]) -> list[SocketFacts | Unavailable | None]:
    """Send all requests as one datagram; the kernel has queued the answer to each of them when it returns."""
    netlink = _channel.open()
    places: dict[int, int] = {}
    requests = []
    for place, (local, remote) in enumerate(pairs):
        number = _channel.next_sequence()
        places[number] = place
        requests.append(_render_look_up(local, remote, number))
    netlink.send(b"".join(requests))
    found: list[SocketFacts | Unavailable | None] = [None] * len(pairs)
    while places:
        for answer, sequence, payload in _messages(netlink.recv(_ONE_ANSWER_BYTES, socket.MSG_DONTWAIT)):
            place = places.pop(sequence, -1)
            if place >= 0:
                found[place] = _found(answer, payload, pairs[place][1])
    return found


def _found(answer: int, payload: bytes, remote: Endpoint) -> SocketFacts | Unavailable | None:
    try:
        if answer == _NLMSG_ERROR:
            _raise_refusal(payload)
        return None if _is_listening(payload) else _matching(_facts(payload), remote)
    except OSError as error:
        return None if error.errno == errno.ENOENT else _unavailable(error)


def _is_listening(answer: bytes) -> bool:
    """Return whether the kernel names the listener: it does so for each connection that has ended."""
    return len(answer) >= _ANSWER.size and answer[1] == TcpState.LISTEN


def _matching(facts: SocketFacts, remote: Endpoint) -> SocketFacts | None:
    """Return the facts if they are of this connection: if none matches, the kernel returns the listener."""
    if facts.state is TcpState.LISTEN or facts.remote.port != remote.port:
        return None
    return facts if facts.remote.address == remote.address else None


def dump(listeners: Sequence[Endpoint], *, skip: Container[int] = frozenset()) -> SocketListing:
    """List the connections that the given listeners accepted and that can still carry data.

    Args:
        listeners: where the door listens; a wildcard address means every address.
        skip: cookies for which only the cookie is returned, without facts. With 50,000 known
            connections that saves most of a second's work.

    Returns:
        Connections in the states of `CARRYING` that a process has or is about to accept. The
        kernel's listing is no snapshot: a connection may be *missing* from it, so absence must be
        confirmed by `find`.

    Raises:
        Unavailable: the kernel cannot be asked (`sockdiag-unavailable`).
    """
    wanted: dict[int, set[bytes]] = {}
    for listener in listeners:
        wanted.setdefault(listener.port, set()).add(b"" if listener.is_wildcard else listener.address)
    port = next(iter(wanted)) if len(wanted) == 1 else 0  # one port is filtered by the kernel itself
    cookies: set[int] = set()
    sockets: list[SocketFacts] = []
    families = (socket.AF_INET, socket.AF_INET6) if wanted else ()
    try:
        for family in families:
            query = _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, _CARRYING_MASK)
            for answer in _list(query + _wildcard(port)):
                _take(answer, wanted, skip, cookies, sockets)
    except OSError as error:
        raise _unavailable(error) from error
    return SocketListing(frozenset(cookies), tuple(sockets))


def dump_listeners(port: int) -> list[SocketFacts]:
    """List the sockets of every user that listen on a port; for messages, never for cutting.

    Raises:
        Unavailable: the kernel cannot be asked (`sockdiag-unavailable`).
    """
    found: list[SocketFacts] = []
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            query = _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << TcpState.LISTEN)
            found += map(_facts, _list(query + _wildcard(port)))
    except OSError as error:
        raise _unavailable(error) from error
    return found


def _wildcard(port: int) -> bytes:
    return _IDENTITY.pack(_PORT.pack(port), b"", b"", b"", 0, 0xFFFF_FFFF, 0xFFFF_FFFF)


def _take(
    answer: bytes,
    wanted: dict[int, set[bytes]],
    skip: Container[int],
    cookies: set[int],
    sockets: list[SocketFacts],
) -> None:
    if len(answer) < _ANSWER.size:
        raise OSError(errno.EBADMSG, "netlink answer cut short")
    family, _state, sport, _dport, source, _interface, low, high = _BRIEF.unpack_from(answer)
    addresses = wanted.get(_PORT.unpack(sport)[0])
    if addresses is None:
        return
    local = source[:V4_BYTES] if family == socket.AF_INET else shorten(source)
    if b"" not in addresses and local not in addresses:
        return
    cookie = high << 32 | low
    if cookie in skip:
        cookies.add(cookie)
        return
    facts = _facts(answer)
    # Without inode Envoy has closed it and the kernel only flushes; if not accepted yet, it is ESTABLISHED.
    if facts.inode == 0 and facts.state is not TcpState.ESTABLISHED:
        return
    cookies.add(cookie)
    sockets.append(facts)


def destroy(facts: SocketFacts) -> CutOutcome:
    """End exactly this connection at once: the peer gets a reset, the process that has it an error.

    That process may still read bytes that had arrived before; it can no longer send an answer.

    Args:
        facts: from `find` or `dump`; its cookie must be real and its state one of `CARRYING`.

    Returns:
        CUT, GONE (it had ended before), or NOT_PERMITTED (no CAP_NET_ADMIN over this network
        namespace, or a kernel without CONFIG_INET_DIAG_DESTROY).

    Raises:
        ValueError: the facts do not name one connection. With a wildcard cookie or a listener this
            would close the door for everybody.
        Unavailable: the kernel cannot be asked.
    """
    if facts.cookie in (0, _NO_COOKIE) or facts.state not in CARRYING or facts.remote.port == 0:
        raise ValueError("only a live connection named by its cookie may be destroyed")
    try:
        _ask(_SOCK_DESTROY, _REQUEST | _ACK, _query(facts.local, facts.remote, facts.cookie))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return CutOutcome.GONE
        if error.errno in (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL):
            return CutOutcome.NOT_PERMITTED
        raise _unavailable(error) from error
    return CutOutcome.CUT


def _query(local: Endpoint, remote: Endpoint, cookie: int) -> bytes:
    # For a mapped address ask by IPv4: the kernel keeps both families in one table.
    family = socket.AF_INET if len(local.address) == V4_BYTES else socket.AF_INET6
    return _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + _IDENTITY.pack(
        _PORT.pack(local.port),
        _PORT.pack(remote.port),
        local.address,
        remote.address,
        local.scope or remote.scope,
        cookie & 0xFFFF_FFFF,
        cookie >> 32,
    )


def _render_look_up(local: Endpoint, remote: Endpoint, number: int) -> bytes:
    """Return the whole request for one connection: what `_query` gives, behind its header, packed at once."""
    return _WHOLE.pack(
        _WHOLE.size,
        _SOCK_DIAG_BY_FAMILY,
        _REQUEST,
        number,
        0,
        socket.AF_INET if len(local.address) == V4_BYTES else socket.AF_INET6,
        socket.IPPROTO_TCP,
        0,
        0,
        _ANY_STATE,
        _PORT.pack(local.port),
        _PORT.pack(remote.port),
        local.address,
        remote.address,
        local.scope or remote.scope,
        0xFFFF_FFFF,
        0xFFFF_FFFF,
    )


def _facts(answer: bytes) -> SocketFacts:
    if len(answer) < _ANSWER.size:
        raise OSError(errno.EBADMSG, "netlink answer cut short")
    entry = _ANSWER.unpack_from(answer)
    family, state, sport, dport, source, target, interface, low, high, _, inode = entry
    if family == socket.AF_INET:
        source, target = source[:V4_BYTES], target[:V4_BYTES]
    else:
        source, target = shorten(source), shorten(target)
    scope = interface if len(source) > V4_BYTES else 0
    return SocketFacts(
        high << 32 | low,
        inode,
        _STATES.get(state, TcpState.CLOSE),  # an unknown state of a later kernel counts as closed
        Endpoint(source, _PORT.unpack(sport)[0], scope),
        Endpoint(target, _PORT.unpack(dport)[0], scope),
    )


class _NetlinkSocket:
    """A netlink socket to the kernel, closed when its thread ends."""

    def __init__(self) -> None:
        if not hasattr(socket, "AF_NETLINK"):
            raise OSError(errno.EAFNOSUPPORT, "this operating system has no netlink")
        self.owner = os.getpid()
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self.socket.connect((0, 0))  # connected to the kernel: no other process can send to this socket
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def __del__(self) -> None:
        if hasattr(self, "socket"):
            self.socket.close()


class _Channel(threading.local):
    """One netlink socket for each thread: look-ups run at the same time and need no lock."""

    def __init__(self) -> None:
        self.sequence = 0
        self.netlink: _NetlinkSocket | None = None

    def next_sequence(self) -> int:
        self.sequence = self.sequence % 0xFFFF_FFFF + 1
        return self.sequence

    def open(self) -> socket.socket:
        # A forked child must not read the answers to its parent's requests.
        if self.netlink is None or self.netlink.owner != os.getpid():
            self.netlink = _NetlinkSocket()
        return self.netlink.socket


_channel = _Channel()


def _ask(kind: int, flags: int, body: bytes) -> bytes:
    """Send one request and return the body of its one answer; raise OSError with the kernel's error."""
    netlink, number = _send(kind, flags, body)
    while True:
        for answer, sequence, payload in _messages(netlink.recv(_ONE_ANSWER_BYTES)):
            if sequence != number:  # the rest of a listing that was not read to its end
                continue
            if answer == _NLMSG_ERROR:
                _raise_refusal(payload)
            return payload


def _list(body: bytes) -> Iterator[bytes]:
    """Ask for a listing and yield the body of every entry."""
    netlink, number = _send(_SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, body)
    while True:
        for answer, sequence, payload in _messages(netlink.recv(_LISTING_BYTES)):
            if sequence != number:
                continue
            if answer == _NLMSG_DONE:
                return
            if answer == _NLMSG_ERROR:
                _raise_refusal(payload)
            yield payload


def _send(kind: int, flags: int, body: bytes) -> tuple[socket.socket, int]:
    netlink, number = _channel.open(), _channel.next_sequence()
    netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, number, 0) + body)
    return netlink, number


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split one datagram into (type, sequence, body); never read past its end."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, answer, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise OSError(errno.EBADMSG, "netlink answer cut short")
        yield answer, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _raise_refusal(payload: bytes) -> None:
    """Raise the error of an NLMSG_ERROR; code 0 acknowledges a request and raises nothing."""
    code = -_ERRNO.unpack_from(payload)[0] if len(payload) >= _ERRNO.size else errno.EBADMSG
    if code:
        code = code if code in errno.errorcode else errno.EBADMSG
        raise OSError(code, os.strerror(code))


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(
        "sockdiag-unavailable",
        "the kernel does not answer requests about sockets (sock_diag)",
        hint="Doorward needs Linux with CONFIG_INET_DIAG; in a container, allow AF_NETLINK sockets.",
        errno=error.errno or 0,
    )

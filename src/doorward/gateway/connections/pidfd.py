"""Ending a connection from outside its process without any capability: by a copy of its socket.

Not here: `SOCK_DESTROY`, which is faster and needs CAP_NET_ADMIN (sockdiag).
Standard: Linux pidfd_getfd(2), 5.6 and later; connect(2) on AF_UNSPEC.

The copy is disconnected by `connect()` to AF_UNSPEC, not by `shutdown()`. After a shutdown (a FIN) the process may
still read the bytes that had arrived, and decides itself what to do. Disconnecting drops unread bytes, sends a reset
and gives the process an error. That is even stricter than `SOCK_DESTROY`, which leaves bytes that had arrived
before to be read.

The kernel allows this to a caller with the same user id and at least the capabilities of the target process. With Yama
(`ptrace_scope` 1) the caller must also be an ancestor of the target. Seccomp profiles of some containers forbid it.
If it is not allowed, the result is NOT_PERMITTED.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from doorward.gateway.connections.sockdiag import CutOutcome, SocketFacts

_PIDFD_OPEN = 434  # one number for both on every architecture that Envoy's wheels exist for
_PIDFD_GETFD = 438
_SO_COOKIE = 57
_COOKIE_BYTES = 8
_SOCKADDR_BYTES = 16
_REFUSALS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def open_process(pid: int) -> int:
    """Return a descriptor that names one process even after its process id is used again.

    Raises:
        OSError: ESRCH if the process has ended, ENOSYS or EPERM if the kernel refuses.
    """
    return _syscall(_PIDFD_OPEN, pid, 0)


def may_copy_from(pid: int) -> bool:
    """Return whether sockets of this process can be copied; False also if it has ended."""
    try:
        process = open_process(pid)
    except OSError:
        return False
    try:
        os.close(_syscall(_PIDFD_GETFD, process, 0, 0))
    except OSError as error:
        return error.errno == errno.EBADF  # allowed, but descriptor 0 is closed there
    finally:
        os.close(process)
    return True


def end_connections(pids: Sequence[int], sockets: Sequence[SocketFacts]) -> dict[int, CutOutcome]:
    """End connections that some of these processes hold.

    Args:
        pids: the processes of Envoy.
        sockets: the kernel's facts of a moment ago; each must have an inode.

    Returns:
        An outcome for each cookie: CUT, MISSED (no process has the socket: it has just ended or is not
        accepted yet) or NOT_PERMITTED.
    """
    outcomes = dict.fromkeys((facts.cookie for facts in sockets), CutOutcome.MISSED)
    wanted = {facts.inode: facts.cookie for facts in sockets if facts.inode}
    for pid in pids:
        if not wanted:
            break
        for cookie, outcome in _end_in(pid, wanted).items():
            outcomes[cookie] = outcome
        wanted = {inode: cookie for inode, cookie in wanted.items() if outcomes[cookie] is not CutOutcome.CUT}
    return outcomes


def _end_in(pid: int, wanted: Mapping[int, int]) -> dict[int, CutOutcome]:
    try:
        process = open_process(pid)
    except OSError as error:
        return dict.fromkeys(wanted.values(), CutOutcome.NOT_PERMITTED) if error.errno in _REFUSALS else {}
    outcomes: dict[int, CutOutcome] = {}
    try:
        for descriptor, inode in _sockets_of(pid).items():
            cookie = wanted.get(inode)
            if cookie is not None:
                outcomes[cookie] = _end_one(process, descriptor, cookie)
    except PermissionError:
        outcomes |= dict.fromkeys(wanted.values(), CutOutcome.NOT_PERMITTED)
    except OSError:  # the process ended meanwhile
        pass
    finally:
        os.close(process)
    return outcomes


def _sockets_of(pid: int) -> dict[int, int]:
    """Return descriptor -> inode for the sockets of a process."""
    folder = f"/proc/{pid}/fd"
    found: dict[int, int] = {}
    for name in os.listdir(folder):  # noqa: PTH208 - names only, thousands of them
        with suppress(FileNotFoundError):
            target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            if target.startswith("socket:["):
                found[int(name)] = int(target[8:-1])
    return found


def _end_one(process: int, descriptor: int, cookie: int) -> CutOutcome:
    try:
        copy = socket.socket(fileno=_syscall(_PIDFD_GETFD, process, descriptor, 0))
    except OSError as error:
        return CutOutcome.NOT_PERMITTED if error.errno in _REFUSALS else CutOutcome.MISSED
    with copy:
        # The descriptor may belong to another connection since the listing, even to the listener.
        seen = copy.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE_BYTES)
        if int.from_bytes(seen, sys.byteorder) != cookie:
            return CutOutcome.MISSED
        if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return CutOutcome.MISSED
        return _disconnect(copy)


def _disconnect(copy: socket.socket) -> CutOutcome:
    nowhere = bytes(_SOCKADDR_BYTES)  # struct sockaddr of family AF_UNSPEC
    assert _libc is not None
    if _libc.connect(copy.fileno(), nowhere, len(nowhere)) == 0:
        return CutOutcome.CUT
    try:  # a security module may forbid connect(); then shut down both directions
        copy.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        return CutOutcome.GONE if error.errno == errno.ENOTCONN else CutOutcome.NOT_PERMITTED
    return CutOutcome.CUT


def _syscall(number: int, *arguments: int) -> int:
    if _libc is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result: int = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result

"""Giving up root: the running parts keep the capabilities that they need, and nothing else.

Not here: which user and which folders (settings, layout).
Standard: Linux capabilities(7), prctl(2), proc(5).

The gateway keeps CAP_NET_ADMIN, to end connections by `SOCK_DESTROY`, and no capability that a child would inherit. Envoy,
its child, starts without capabilities, or with CAP_NET_BIND_SERVICE alone if the door listens below port 1024. No process
can regain a capability: the bounding set is emptied, no_new_privs is set, and root's special treatment is switched off and
locked.

The gateway is also non-dumpable: Envoy faces the network under the same user id, and may neither trace the gateway nor
read its memory, which has the keys. Envoy itself stays dumpable, so that its sockets can be copied if CAP_NET_ADMIN is
missing.

Files that the ordinary user cannot reach, such as an interpreter below /root, must be loaded or opened before: see
`preloading` and `open_program`.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import stat
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from doorward.core.errors import ConfigurationError, Fault

_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECBIT_NOROOT_LOCKED = 0b11  # SECBIT_NOROOT and its lock: uid 0 gains no capability on exec
_CAPABILITY_VERSION = 0x2008_0522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 bits
_HIGHEST_CAPABILITY = 63
_FALLBACK_USER = "nobody"


class Capability(IntEnum):
    """The capabilities that Doorward ever keeps, by their numbers in `linux/capability.h`."""

    NET_BIND_SERVICE = 10
    NET_ADMIN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An ordinary user of this machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def choose_account(wanted: str, *, required: bool = False) -> Account:
    """Return the user that the running parts become.

    Args:
        wanted: its name; if there is no such user, `nobody` is used.
        required: the name comes from a setting, so a missing user is an error. Otherwise a typing error would give keys
            and database to `nobody`, which other programs may use too.

    Raises:
        ConfigurationError: `user-unknown`, `user-is-root`.
    """
    for name in (wanted,) if required else (wanted, _FALLBACK_USER):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise _fault("user-is-root", f"{name} is root", "name an ordinary user in the setting `user`")
        groups = tuple(sorted(set(os.getgrouplist(name, entry.pw_gid))))
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=groups)
    raise _fault(
        "user-unknown",
        f"there is no user {wanted} on this machine",
        f"correct the setting `user`, or: useradd --system --no-create-home --shell /usr/sbin/nologin {wanted}",
    )


def needs_bind_service(ports: Iterable[int]) -> bool:
    """Return whether an ordinary user may not listen on one of these ports without a capability."""
    try:
        first_free = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except (OSError, ValueError):
        first_free = 1024
    return any(0 < port < first_free for port in ports)


def drop(
    account: Account,
    *,
    keep: frozenset[Capability] = frozenset({Capability.NET_ADMIN}),
    hand_down: frozenset[Capability] = frozenset(),
) -> None:
    """Become an ordinary user for good.

    Capabilities belong to a thread, so this must happen while there is only one; later threads and children have what is
    left.

    Args:
        account: the user to become.
        keep: capabilities that this process keeps if it has them now: a container may lack CAP_NET_ADMIN.
        hand_down: capabilities for its children. The process keeps them too, because the kernel lets it copy sockets
            only from a child that has no capability beyond its own.

    Raises:
        ConfigurationError: we are not root, or threads run already.
        OSError: the kernel refuses; the caller must stop.
    """
    if os.geteuid() != 0:
        raise _fault("not-root", "only root can become another user", "start as root, or as that user")
    if sys.platform != "linux":
        os.setgroups(account.groups)
        os.setgid(account.gid)
        os.setuid(account.uid)
        return
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 - a count only
        raise _fault(
            "threads-running", "privileges are dropped before threads start", "report this as a defect"
        )
    kept = (keep | hand_down) & effective()
    inherited = hand_down & kept
    with suppress(PermissionError):  # a container without CAP_SETPCAP: there no_new_privs must be enough
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NOROOT_LOCKED)
        for number in range(_HIGHEST_CAPABILITY + 1):
            if number not in inherited and _has_in_bounding_set(number):
                _prctl(_PR_CAPBSET_DROP, number)
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    _prctl(_PR_SET_KEEPCAPS, 0)
    _hold(kept, inherited)
    harden()
    if os.getresuid() != (account.uid,) * 3 or os.getresgid() != (account.gid,) * 3 or effective() != kept:
        raise OSError("privileges were not dropped")  # never continue with more privileges than intended


def shed(*, keep: frozenset[Capability], hand_down: frozenset[Capability]) -> None:
    """As an ordinary user, give up every capability but these, for example those of systemd's AmbientCapabilities=.

    Arguments as in `drop`. Without this, children would inherit all ambient capabilities.
    """
    if sys.platform == "linux":
        kept = (keep | hand_down) & effective()
        _hold(kept, hand_down & kept)
    harden()


def _hold(kept: frozenset[Capability], inherited: frozenset[Capability]) -> None:
    _capset(effective=kept, permitted=kept, inheritable=inherited)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in inherited:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def harden() -> None:
    """Prevent new privileges, tracing by other processes of this user, and core dumps, which would contain keys.

    At every start, as root or not. Children inherit the first and the last.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_DUMPABLE, 0)


def raise_file_limit() -> int:
    """Raise the limit of open files to the hard limit, for 50,000 connections; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def most_open_files() -> int:
    """Return how many files Envoy may have open: the hard limit, to which the gateway raises its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def open_program(path: Path) -> int:
    """Open a program, so that it can be started later even if its path cannot be reached then.

    The descriptor stays open for as long as the program may be started again.

    Raises:
        ConfigurationError: it cannot be opened or others may not execute it (`program-unusable`).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _fault("program-unusable", f"{path}: {error.strerror}", "reinstall the package") from None
    anybody = stat.S_IROTH | stat.S_IXOTH
    if os.geteuid() == 0 and os.fstat(descriptor).st_mode & anybody != anybody:
        # Unreadable programs run non-dumpable, and their sockets could not be copied.
        os.close(descriptor)
        raise _fault("program-unusable", f"others may not run {path}", f"chmod a+rx {path}")
    return descriptor


def effective() -> frozenset[Capability]:
    """Return which of our capabilities this thread has in effect."""
    try:
        status = Path("/proc/thread-self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    words = dict(line.split(":\t", 1) for line in status.splitlines() if line.startswith("CapEff:\t"))
    bits = int(words.get("CapEff", "0"), 16)
    return frozenset(one for one in Capability if bits >> one & 1)


def _has_in_bounding_set(number: int) -> bool:
    return bool(_libc().prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1)  # -1 for numbers not in use


def _capset(
    *,
    effective: frozenset[Capability],
    permitted: frozenset[Capability],
    inheritable: frozenset[Capability],
) -> None:
    sets = [sum(1 << one for one in capabilities) for capabilities in (effective, permitted, inheritable)]
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    data = struct.pack("=6I", *(bits & 0xFFFF_FFFF for bits in sets), *(bits >> 32 for bits in sets))
    if _libc().capset(header, data) != 0:
        _raise_errno("capset")


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc().prctl(ctypes.c_int(option), *words) != 0:
        _raise_errno(f"prctl {option}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raise_errno(what: str) -> None:
    code = ctypes.get_errno()
    raise OSError(code, f"{what}: {os.strerror(code)}")


def _fault(code: str, message: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Fault(code=code, message=message, hint=hint, key="user")])

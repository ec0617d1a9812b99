"""Upstreams that no application may have because they are Doorward itself: its sockets and its own listeners.

If an application led to one of them, its callers could speak with the authorizer, with Envoy's admin interface
(which has no login), or with the door again under another identity than their own.

Not here: DNS. Only `localhost`, this machine's name, the names in /etc/hosts and the hosts of the policy document
are known without asking a resolver.
Standard: Linux unix(7) and path_resolution(7); RFC 6761 section 6.3 (`localhost`); RFC 4291 section 2.5.5.2;
RFC 6052 section 2.1 (NAT64); POSIX inet_addr(3) (forms of an address).
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from doorward.policy.model import Upstream, upstream_address

BY_NAME_ONLY = "*"
"""The address of a listener that only names lead to, for example a listener behind a load balancer."""

Address = IPv4Address | IPv6Address

_MOST_FILES = 1_000_000
"""Each server certificate has two files: enough for hundred thousands of applications."""

_MOST_HOSTS_CHARACTERS = 1 << 20
_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_TRANSLATED = IPv6Network("64:ff9b::/96")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}")


@dataclass(frozen=True, slots=True)
class OwnListener:
    """One TCP listener of this installation: its name for messages, an address without brackets, a port."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForbiddenUpstreams:
    """The sockets and listeners of this installation itself.

    Args:
        folder: the data directory: every socket below it belongs to this installation.
        listeners: the door, and the status listener.
        names: further names that lead to the door, besides those of the document.
        hosts_file: names of this machine and others, hosts(5).
    """

    folder: Path
    listeners: tuple[OwnListener, ...] = ()
    names: frozenset[str] = frozenset()
    hosts_file: Path = Path("/etc/hosts")

    def objection(self, upstream: Upstream, hosts: Collection[str] = ()) -> str:
        """Return which socket or listener of this installation an upstream is, in words; empty if it is none.

        Args:
            upstream: as the document has it.
            hosts: the names that lead to the door, by the document.
        """
        return self.checker(hosts)(upstream)

    def checker(self, hosts: Collection[str] = ()) -> Callable[[Upstream], str]:
        """Return `objection` for many upstreams: this machine is looked at once, when the first of them needs it."""
        machine, leading = _Machine(self.folder, self.hosts_file), self.names.union(hosts)
        return lambda upstream: self._object(upstream, leading, machine)

    def _object(self, upstream: Upstream, leading: Collection[str], machine: _Machine) -> str:
        place = upstream_address(upstream)
        if isinstance(place, str):
            return "a socket of Doorward itself" if machine.is_own_socket(place) else ""
        host, port = place
        for one in self.listeners:
            if port == one.port and _reaches(host, one.host, leading, machine):
                return f"{one.name} of Doorward itself"
        return ""


def _reaches(host: str, listens_on: str, leading: Collection[str], machine: _Machine) -> bool:
    address = _address(host)
    if address is None and host in leading:
        return True
    if listens_on == BY_NAME_ONLY:
        return False
    addresses = [address] if address is not None else machine.known_addresses(host)
    return any(_is_at(one, listens_on) for one in addresses)


class _Machine:
    """This machine's names and our own sockets, each read once, at the first question."""

    def __init__(self, folder: Path, hosts_file: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._hosts_file = hosts_file

    def known_addresses(self, host: str) -> list[Address]:
        """Return the addresses of a name without asking a resolver: by the machine's own names and the hosts file."""
        known: list[Address] = []
        if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname().lower():
            known += _LOOPBACK
        return known + self._named.get(host, [])

    @cached_property
    def _named(self) -> dict[str, list[Address]]:
        try:
            with self._hosts_file.open(encoding="utf-8", errors="replace") as stream:
                lines = stream.read(_MOST_HOSTS_CHARACTERS).splitlines()
        except OSError:
            lines = []
        found: dict[str, list[Address]] = {}
        for line in lines:
            text, *names = line.partition("#")[0].split() or [""]
            address = _address(text)
            if address is not None:
                for name in names:
                    found.setdefault(name.lower(), []).append(address)
        return found

    def is_own_socket(self, path: str) -> bool:
        """Return whether a path is a socket of ours, by its real path (links and `..` followed) or by its inode.

        The inode finds hard links.
        """
        if os.path.commonpath([self._folder, os.path.realpath(path)]) == self._folder:
            return True
        try:
            target = Path(path).stat()
        except OSError:
            return False
        return (target.st_dev, target.st_ino) in self._sockets

    @cached_property
    def _sockets(self) -> frozenset[tuple[int, int]]:
        return frozenset((one.st_dev, one.st_ino) for one in _sockets(self._folder))


def _sockets(folder: str) -> Iterator[os.stat_result]:
    seen = 0
    for place, _, files in os.walk(folder):
        for name in files:
            seen += 1
            if seen > _MOST_FILES:
                return
            with suppress(OSError):
                found = (Path(place) / name).lstat()
                if stat.S_ISSOCK(found.st_mode):
                    yield found


def _is_at(address: Address, listens_on: str) -> bool:
    mine = _address(listens_on)
    if mine is None or mine.is_unspecified:
        return address.is_unspecified or _is_local(address)
    return address.is_unspecified or address == mine


def _address(text: str) -> Address | None:
    """Return an address in any form that a resolver accepts: `0x7f000001` and `127.1` are 127.0.0.1."""
    try:
        address = ip_address(text)
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(text)) if _NUMERIC.fullmatch(text) else None
        except OSError:
            return None
    if isinstance(address, IPv6Address) and address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_local(address: Address) -> bool:
    """Return whether this machine has an address: a socket can be bound to no other."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True

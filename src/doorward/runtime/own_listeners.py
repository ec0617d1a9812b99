"""Whether an address and a port are a listener of this installation.

A URL in a partner's certificate must not make us send a request to ourselves, even if private networks are allowed: our
listeners trust requests from this machine more than others. So nothing is fetched from a port of this installation at any
address of this machine: all of loopback, and every address that the kernel's routing table calls local, with IPv6 and
addresses that were added later. If the kernel cannot be asked, an address with one of our ports counts as ours.

Not here: unix sockets, which a URL cannot name.
Standard: Linux rtnetlink(7), RTM_GETROUTE; `linux/rtnetlink.h`.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from urllib.parse import urlsplit

from doorward.core.addresses import Address, unmap_ipv4
from doorward.runtime.settings import Settings, split_listen

_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_REQUEST = 0x1
_NLMSG_ERROR = 2
_RTA_DST = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg; the eighth octet is the type of the route
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
_ELSEWHERE = frozenset({1, 6, 7, 8, 9})  # RTN_UNICAST, RTN_BLACKHOLE to RTN_THROW: nothing of this machine
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL})
_ANSWER_BYTES = 4096
_SECONDS = 2.0
_URL_PORTS = {"http": 80, "https": 443}


def own_ports(settings: Settings) -> frozenset[int]:
    """Return the ports at which this installation is reached: those it binds, and those of its public addresses."""
    ports = {
        split_listen(settings.gateway_listen)[1],
        split_listen(settings.status_listen)[1],
        settings.public_port,
        *([split_listen(settings.acme_http_listen)[1]] if settings.acme_http_listen else []),
    }
    parts = urlsplit(settings.public_status_url)
    ports.add(parts.port or _URL_PORTS.get(parts.scheme, 0))
    return frozenset(ports - {0})


class OwnListeners:
    """The listeners of this installation; safe to share between threads."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._ports = frozenset(ports)

    def has(self, address: Address, port: int) -> bool:
        """Return whether a connection to this address and port could end at a listener of ours."""
        return port in self._ports and is_local(unmap_ipv4(address))


def is_local(address: Address) -> bool:
    """Return whether the kernel delivers packets for an address to this machine."""
    if address.is_loopback or address.is_unspecified:
        return True
    try:
        kind = _ask_kernel(address)
    except OSError as error:
        return error.errno not in _NO_ROUTE
    return kind not in _ELSEWHERE


def _ask_kernel(address: Address) -> int:
    """Return the type of the route to an address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address.packed), _RTA_DST) + address.packed
    route = _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    size = _HEADER.size + len(route) + len(attribute)
    question = _HEADER.pack(size, _RTM_GETROUTE, _REQUEST, 1, 0) + route + attribute
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_SECONDS)
        kernel.sendto(question, (0, 0))
        answer = kernel.recv(_ANSWER_BYTES)
    if len(answer) < _HEADER.size + _ROUTE.size:
        raise OSError(errno.EBADMSG, "netlink answer cut short")
    kind = _HEADER.unpack_from(answer)[1]
    if kind == _NLMSG_ERROR:
        raise OSError(-_ERRNO.unpack_from(answer, _HEADER.size)[0], "no route")
    if kind != _RTM_NEWROUTE:
        raise OSError(errno.EBADMSG, "another netlink answer than that about a route")
    return int(_ROUTE.unpack_from(answer, _HEADER.size)[7])

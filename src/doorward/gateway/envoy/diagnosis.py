"""Why Envoy does not run, with a hint: a port in use or forbidden, or the last line of its output.

Not here: starting it (supervisor) and checking configuration (publisher).
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import DoorwardError, Unavailable
from doorward.gateway.connections.endpoints import V4_BYTES, Endpoint
from doorward.gateway.envoy.process import holder_of

_TAIL_BYTES = 8192
_LONGEST_WORDS = (
    400  # characters of Envoy's last line, which may quote a long part of a rejected configuration
)


def check_free(listeners: Sequence[Endpoint]) -> None:
    """Raise `Unavailable` if Envoy could not listen on one of these addresses now.

    Envoy itself would only log the rejected listener and go on, and no client could reach the door.
    """
    for listener in listeners:
        family = socket.AF_INET if len(listener.address) == V4_BYTES else socket.AF_INET6
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET:
                    probe.bind((listener.host, listener.port))
                else:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    probe.bind((listener.host, listener.port, 0, listener.scope))
        except OSError as error:
            raise explain_bind(error.errno or 0, str(listener), holder=_holder(listener)) from error


def explain_bind(number: int, place: str, *, holder: str = "") -> Unavailable:
    """Return the error for a listening socket that the kernel refused.

    Args:
        number: the errno.
        place: address and port, as text.
        holder: the process that listens there, if known.
    """
    if number == errno.EADDRINUSE:
        return Unavailable(
            "port-in-use",
            f"{place} is in use" + (f" by {holder}" if holder else ""),
            hint="stop the process that listens there, or set another address with gateway_listen",
            place=place,
        )
    if number in (errno.EACCES, errno.EPERM):
        return Unavailable(
            "port-forbidden",
            f"this user may not listen on {place}",
            hint="start as root (privileges are dropped), allow CAP_NET_BIND_SERVICE, "
            "or set gateway_listen to a port from 1024 on",
            place=place,
        )
    if number == errno.EADDRNOTAVAIL:
        return Unavailable(
            "address-unknown",
            f"this machine does not have the address of {place}",
            hint="set gateway_listen to an address of this machine, or to 0.0.0.0 or [::]",
            place=place,
        )
    return Unavailable(
        "envoy-would-not-start",
        f"nothing can listen on {place}: {os.strerror(number)}",
        hint="choose an address of this machine and a free port with gateway_listen in doorward.toml",
        place=place,
    )


def explain_exit(folder: Path, status: int | None) -> Unavailable:
    """Return the error for an Envoy that ended by itself.

    Args:
        folder: its epoch's folder, with `stderr.log`.
        status: its exit code, or minus the signal; None if it is unknown, because another process started Envoy.
    """
    words = last_output_line(folder / "stderr.log")
    for number in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
        if words.startswith("cannot bind '") and words.endswith(os.strerror(number)):
            return explain_bind(number, words.removeprefix("cannot bind '").partition("'")[0])
    return Unavailable(
        "envoy-would-not-start",
        f"Envoy {explain_status(status)}" + (f": {words}" if words else ""),
        hint=f"its log is {folder / 'envoy.log'}",
    )


def explain_status(status: int | None) -> str:
    """Return how a process ended, as the end of a sentence; `status` as in `explain_exit`."""
    if status is None:
        return "ended"
    return f"was ended by signal {_signal_name(-status)}" if status < 0 else f"ended with status {status}"


def last_output_line(file: Path) -> str:
    """Return the last line that is not empty, at most 400 characters; empty if there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = stream.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    # Envoy adds spaces to some messages on purpose, so that programs do not parse them.
    return next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")[:_LONGEST_WORDS]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _holder(listener: Endpoint) -> str:
    with suppress(DoorwardError, OSError):  # the message is also useful without the name
        return holder_of(listener)
    return ""


def explain_unwritable(error: OSError) -> Unavailable:
    """Return the error for a folder of Envoy's runs that cannot be used."""
    return Unavailable(
        "envoy-folder-unusable",
        f"the folder of Envoy's runs cannot be used: {error.strerror}",
        hint="give this user access to the data directory, and make room on its disk",
    )

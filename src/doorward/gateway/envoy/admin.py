"""A small client of Envoy's admin interface over its unix socket.

Not here: the meaning of the statistics (publisher, supervisor). The socket has mode 0600 and no login: a process that
can open it can stop the door.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
from pathlib import Path
from urllib.parse import quote

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.core.sockets import LONGEST_SOCKET_PATH

_MAX_ANSWER_BYTES = 16 << 20  # all statistics of a thousand applications are about 4 MB
_STATISTIC = re.compile(r"([^\s:][^:\n]*(?::[^: \n][^:\n]*)*): (\d{1,20})\Z")


def check_socket_path(path: Path) -> None:
    """Raise `ConfigurationError` if the path is too long for a unix socket."""
    if len(os.fsencode(path.absolute())) > LONGEST_SOCKET_PATH:
        raise ConfigurationError(
            [
                Fault(
                    code="data-path-too-long",
                    message=f"the path is too long for a unix socket (at most {LONGEST_SOCKET_PATH} bytes): {path}",
                    hint="choose a shorter data directory with --data or DOORWARD_DATA",
                    key="data",
                )
            ]
        )


def parse_statistics(text: str) -> dict[str, int]:
    """Return counters and gauges of Envoy's `name: value` lines.

    Other lines are left out, such as histograms and text readouts, which have no whole number.
    """
    found = (_STATISTIC.match(line.strip()) for line in text.splitlines())
    return {match.group(1): int(match.group(2)) for match in found if match}


class AdminClient:
    """The admin interface of one Envoy; each call opens a new connection and may be made from any thread.

    Args:
        path: the unix socket, at most 107 bytes long.
        timeout_seconds: for connecting, and for each read.
    """

    def __init__(self, path: Path, *, timeout_seconds: float = 2.0) -> None:
        check_socket_path(path)
        self._path = str(path.absolute())
        self._timeout = timeout_seconds

    def is_ready(self) -> bool:
        """Return whether Envoy is LIVE; False also if it does not answer."""
        try:
            return self._ask("GET", "/ready")[0] == http.client.OK
        except Unavailable:
            return False

    def statistics(self, pattern: str = "") -> dict[str, int]:
        """Return counters and gauges by name.

        Args:
            pattern: a regular expression (RE2) that a name must contain; empty means all.

        Raises:
            Unavailable: Envoy does not answer or refuses (`envoy-admin-unavailable`).
        """
        query = f"?filter={quote(pattern, safe='')}" if pattern else ""
        return parse_statistics(self._require("GET", f"/stats{query}").decode("utf-8", "replace"))

    def used_counters(self, pattern: str) -> dict[str, int]:
        """Return the counters that have counted something, by name: half the work of `statistics` for Envoy.

        Args:
            pattern: as there.

        Raises:
            Unavailable: as there.
        """
        target = f"/stats?filter={quote(pattern, safe='')}&usedonly&type=Counters"
        return parse_statistics(self._require("GET", target).decode("utf-8", "replace"))

    def stop_listening(self) -> None:
        """Close the listening sockets at once, so that the next Envoy can bind; connections go on."""
        self._require("POST", "/drain_listeners")

    def begin_drain(self) -> None:
        """Ask clients to close their connections (`Connection: close`, GOAWAY) during `--drain-time-s`; do not exit."""
        self._require("POST", "/drain_listeners?graceful&skip_exit")

    def reopen_logs(self) -> None:
        """Open all log files again, after they were renamed."""
        self._require("POST", "/reopen_logs")

    def _require(self, method: str, target: str) -> bytes:
        status, body = self._ask(method, target)
        if status != http.client.OK:
            raise Unavailable(
                "envoy-admin-unavailable", f"Envoy's admin interface answered {status} to {target}"
            )
        return body

    def _ask(self, method: str, target: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path, self._timeout)
        try:
            # With an empty body http.client sends the Content-Length that Envoy requires on a POST.
            connection.request(method, target, body=b"" if method == "POST" else None)
            answer = connection.getresponse()
            body = answer.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("envoy-admin-unavailable", "Envoy's admin interface does not answer") from error
        finally:
            connection.close()
        return answer.status, body


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; the host name is only a header."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

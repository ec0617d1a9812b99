"""Three real clients that knock at a door and report what they met: openssl, curl and Python's ssl."""

from __future__ import annotations

import re
import select
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.doorway import Doorway, Identity

ALERT = re.compile(r"alert number (\d+)")
_PYTHON_ALERTS = {
    "HANDSHAKE_FAILURE": 40,
    "UNSUPPORTED_CERTIFICATE": 43,
    "CERTIFICATE_REVOKED": 44,
    "CERTIFICATE_EXPIRED": 45,
    "CERTIFICATE_UNKNOWN": 46,
    "UNKNOWN_CA": 48,
    "ACCESS_DENIED": 49,
    "DECRYPT_ERROR": 51,
    "CERTIFICATE_REQUIRED": 116,
}
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What a client met: the number of the alert (0 for none that it could name) and bytes of application data."""

    alert: int
    data: bytes
    words: str = ""


def patiently(knock: Callable[[float], Met]) -> Met:
    """Knock again, and listen for longer, while a client spoke before it heard an alert: the end tells no reason then."""
    met = Met(alert=0, data=b"")
    for seconds in (0.5, 3.0, 10.0):
        met = knock(seconds)
        if met.alert or met.data:
            break
    return met


def knock_with_python(door: Doorway, identity: Identity | None, version: str) -> Met:
    """Finish the handshake, listen for a moment, then ask."""
    return patiently(lambda seconds: _knock_with_python(door, identity, version, seconds))


def _knock_with_python(door: Doorway, identity: Identity | None, version: str, seconds: float) -> Met:
    data = b""
    try:
        with door.connect(identity, tls=VERSIONS[version]) as secure:
            if not select.select([secure], [], [], seconds)[0]:
                secure.sendall(
                    f"GET / HTTP/1.1\r\nHost: {door.host('app')}\r\nConnection: close\r\n\r\n".encode()
                )
            while piece := secure.recv(65536):
                data += piece
    except ssl.SSLError as error:
        reason = (error.reason or "").removeprefix("TLSV1_ALERT_").removeprefix("TLSV13_ALERT_")
        reason = reason.removeprefix("SSLV3_ALERT_").removeprefix("TLSV1_").removeprefix("SSLV3_")
        return Met(alert=_PYTHON_ALERTS.get(reason, 0), data=data, words=str(error))
    except OSError as error:
        return Met(alert=0, data=data, words=str(error))
    return Met(alert=0, data=data)


def knock_with_openssl(door: Doorway, identity: Identity | None, version: str) -> Met:
    """The same with `openssl s_client`."""
    return patiently(lambda seconds: _knock_with_openssl(door, identity, version, seconds))


def _knock_with_openssl(door: Doorway, identity: Identity | None, version: str, seconds: float) -> Met:
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{door.port}",
        "-servername",
        door.host("app"),
        "-quiet",
        "-CAfile",
        str(door.root),
        "-verify_return_error",
        "-tls1_2" if version == "1.2" else "-tls1_3",
    ]
    if identity is not None:
        command += ["-cert", str(identity.chain), "-key", str(identity.key)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as client:
        assert client.stderr is not None
        said = b""
        while b"depth=0" not in said and (line := client.stderr.readline()):
            said += line  # until the door's certificate was judged: the client's own is on its way then
        time.sleep(seconds)  # the alert of TLS 1.3 comes after the handshake: listen before speaking
        request = f"GET / HTTP/1.1\r\nHost: {door.host('app')}\r\nConnection: close\r\n\r\n".encode()
        try:
            out, err = client.communicate(request, timeout=60)
        except BrokenPipeError:
            out, err = client.stdout.read(), client.stderr.read()  # type: ignore[union-attr]
    words = (said + err).decode("utf-8", "replace")
    found = ALERT.search(words)
    return Met(alert=int(found.group(1)) if found else 0, data=out, words=words)


def knock_with_curl(door: Doorway, identity: Identity | None, version: str) -> Met:
    """The same with curl, which speaks at once and so may miss the alert of TLS 1.3."""
    host = door.host("app")
    command = [
        "curl",
        "-sS",
        "--max-time",
        "60",
        "--cacert",
        str(door.root),
        "--resolve",
        f"{host}:{door.port}:127.0.0.1",
        f"--tlsv{version}",
        "--tls-max",
        version,
        f"https://{host}:{door.port}/",
    ]
    if identity is not None:
        command += ["--cert", str(identity.chain), "--key", str(identity.key)]
    done = subprocess.run(command, capture_output=True, timeout=15, check=False)
    words = done.stderr.decode("utf-8", "replace")
    return Met(alert=0 if done.returncode else -1, data=done.stdout, words=words)


CLIENTS = {"python": knock_with_python, "openssl": knock_with_openssl, "curl": knock_with_curl}

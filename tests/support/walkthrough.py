"""Plays the commands of a Markdown page, block by block, and holds what they print against the page.

The language after the fence says what a block is:

    sh              commands that all succeed, in one shell for the whole page
    sh fails        commands of which at least one is refused
    sh background   a program that goes on running, such as `doorward up`
    text            lines that the block before prints, in any order, among others

In text blocks `…` stands for anything, and numbers, times, ids and digests for any of their kind.
Ports of the page are replaced by free ones, so that nothing of the machine is in the way.

Not here: any page.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from doorward.demo.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 60.0
BLOCK_SECONDS = 120.0
PORTS = ("8443", "8480", "9000", "9001")
"""The ports that pages use."""

_FENCE = re.compile(
    r"^```(?P<language>[a-z]*)(?: (?P<word>[a-z]+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_PORT = re.compile(r"(?<=[: ])(8443|8480|9000|9001)\b")
_ENDED = "walkthrough-block-ended"
_REFUSED = "walkthrough-command-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: `kind` is its language and the word after it, joined by a space."""

    kind: str
    text: str
    line: int


@dataclass(slots=True)
class Walk:
    """The shell of one page, and the programs that it left running."""

    shell: subprocess.Popen[str]
    folder: Path
    ports: dict[str, str]
    environment: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)

    def play(self, commands: str) -> tuple[str, bool]:
        """Run commands in the page's shell; return what they printed, and whether all succeeded."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{commands}\necho {_ENDED}\n")
        self.shell.stdin.flush()
        lines: list[str] = []
        limit = time.monotonic() + BLOCK_SECONDS
        for line in self.shell.stdout:
            if line.strip().endswith(_ENDED):
                lines.append(line.replace(_ENDED, ""))
                break
            lines.append(line)
            assert time.monotonic() < limit, "".join(lines)
        return "".join(line for line in lines if _REFUSED not in line), all(
            _REFUSED not in line for line in lines
        )

    def leave_running(self, command: str) -> Path:
        """Start a program that goes on, in the shell's folder with its data; return the file with what it prints."""
        printed, _ = self.play("pwd; printenv DOORWARD_DATA")
        folder, data = printed.split()
        output = self.folder / f"output-{len(self.running)}"
        with output.open("wb") as file:
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command.strip()}"],
                    cwd=folder,
                    env={**self.environment, "DOORWARD_DATA": data},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
        self.outputs.append(output)
        return output

    def translate(self, text: str) -> str:
        """Put the free ports in the place of the page's."""
        ported = _PORT.sub(lambda found: self.ports[found[0]], text)
        return ported.replace("/var/lib", str(self.folder))

    def log(self) -> str:
        """Return what the programs that go on have printed."""
        return "\n".join(output.read_text("utf-8", "replace") for output in self.outputs)


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in its order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            kind=" ".join(filter(None, (found["language"], found["word"]))),
            text=found["text"],
            line=text.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(text)
    ]


def play_page(page: Path, *, first: str, before: str = "") -> None:
    """Play a page from the first shell block that holds some text; fail if the page is not true.

    Args:
        page: the Markdown file.
        first: text of the block with which to begin.
        before: commands that make what the page takes for granted.
    """
    with open_walk() as walk:
        printed, well = walk.play(walk.translate(before) or ":")
        assert well, printed
        play_on(walk, page, first=first)


def play_on(walk: Walk, page: Path, *, first: str) -> None:
    """Play a page in a shell that is there; its programs end with the page, as by Ctrl-C."""
    blocks = read_blocks(page)
    start = next(at for at, block in enumerate(blocks) if block.kind.startswith("sh") and first in block.text)
    try:
        output: Path | None = None
        for block in blocks[start:]:
            place = f"{page.name}, line {block.line}"
            text = walk.translate(block.text)
            if block.kind in ("sh", "sh fails"):
                output = None
                printed, well = walk.play(text)
                assert well is (block.kind == "sh"), f"{place}:\n{text}\nprinted:\n{printed}\n{walk.log()}"
            elif block.kind == "sh background":
                output = walk.leave_running(text)
                _await_port(walk, text, place)
            elif block.kind == "text":
                if output is not None:
                    printed = _await_lines(output, text)
                missing = missing_lines(text, printed)
                assert not missing, f"{place}: not printed: {missing}\nprinted:\n{printed}\n{walk.log()}"
    finally:
        for process in reversed(walk.running):
            _end(process)
        walk.running.clear()


def missing_lines(expected: str, printed: str) -> list[str]:
    """Return the expected lines that were not printed."""
    seen = [_shape(line) for line in printed.splitlines()]
    wanted = [line for line in expected.splitlines() if line.strip() and line.strip() != "…"]
    return [line for line in wanted if not any(_pattern(line).fullmatch(one) for one in seen)]


@contextmanager
def open_walk(**more: str) -> Iterator[Walk]:
    """Yield a shell in an empty folder, with `doorward` on its path and data of its own; `more` are variables."""
    folder = Path(tempfile.mkdtemp(prefix="walk-"))
    folder.chmod(0o711)  # started by root, the running parts are an ordinary user who must pass
    (folder / "work").mkdir()
    ports = {named: str(free_port()) for named in PORTS}
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "PYTHONUNBUFFERED": "1",
        "DOORWARD_DATA": str(folder / "data"),
        "DOORWARD_PASSPHRASE_FILE": str(folder / "passphrase"),
        "DOORWARD_STATUS_LISTEN": f"127.0.0.1:{ports['8480']}",
        "DOORWARD_GATEWAY_WORKERS": "1",
        **more,
    }
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile"],
        cwd=folder / "work",
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    walk = Walk(shell=shell, folder=folder, ports=ports, environment=environment)
    try:
        walk.play(f"set -o pipefail; trap 'echo {_REFUSED}' ERR")
        yield walk
    finally:
        for process in reversed(walk.running):
            _end(process)
        with suppress(OSError):
            shell.kill()
        shell.wait()
        for pipe in (shell.stdin, shell.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_port(walk: Walk, command: str, place: str) -> None:
    """Wait until something listens on the port that the command names."""
    port = next(port for port in walk.ports.values() if port in command)
    limit = time.monotonic() + READY_SECONDS
    while time.monotonic() < limit:
        done = subprocess.run(
            ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], capture_output=True, check=False
        )
        if done.returncode == 0:
            return
        assert walk.running[-1].poll() is None, f"{place}: {walk.log()}"
        time.sleep(0.1)
    raise AssertionError(f"{place}: nothing listens on {port}\n{walk.log()}")


def _await_lines(output: Path, expected: str) -> str:
    """Return what a running program printed, as soon as the expected lines are in it or time is over."""
    limit = time.monotonic() + READY_SECONDS
    while True:
        printed = output.read_text("utf-8", "replace")
        if not missing_lines(expected, printed) or time.monotonic() > limit:
            return printed
        time.sleep(0.1)


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in _shape(line).split("…")))


_SHAPES = (
    (re.compile(r"\b(per|dev|svc|crt|app|aut|gtw|evt|inv|ten)_[a-z0-9]{20}\b"), r"\1_ID"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "HEX"),
    (re.compile(r"\b[a-z2-7]{6}(-[a-z2-7]{6}){3}\b"), "PASSWORD"),
    (re.compile(r"[0-9]+(\.[0-9]+)?"), "N"),
    (re.compile(r"\s+"), " "),
)


def _shape(line: str) -> str:
    for pattern, stand_in in _SHAPES:
        line = pattern.sub(stand_in, line)
    return line.strip()

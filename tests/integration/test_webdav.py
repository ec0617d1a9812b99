"""A real WebDAV server (nginx) behind a whole door: COPY and MOVE write where the rules allow, and nowhere else."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from doorward.demo.ports import free_port
from tests.support.doorway import DOMAIN, Doorway, Identity, eventually, open_doorway

pytestmark = pytest.mark.needs("nginx")

CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/files;
    location / {{ dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; }}
  }}
}}
"""
RULES = """
- allow: {groups: [staff]}
- deny: {groups: [staff]}
  to: {paths: ["/archive/**"]}
"""


@contextmanager
def nginx() -> Iterator[tuple[Path, int]]:
    """Serve a folder by WebDAV: the folder, and the port."""
    with tempfile.TemporaryDirectory(prefix="dw-dav-") as name:
        folder, port = Path(name), free_port()
        (folder / "files" / "archive").mkdir(parents=True)
        folder.chmod(0o755)
        for one in (folder / "files", folder / "files" / "archive"):
            one.chmod(0o777)  # its worker is another user, where the test runs as root
        (folder / "files" / "a.txt").write_text("a")
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        process = subprocess.Popen([program, "-c", configuration, "-e", folder / "error.log"])
        try:
            yield folder / "files", port
        finally:
            process.terminate()
            process.wait(60)


@dataclass(frozen=True)
class Share:
    """A door in front of a share, a person of the staff, and the files."""

    door: Doorway
    alice: Identity
    files: Path

    def ask(self, method: str, path: str, destination: str) -> int:
        """Send a request with a Destination; return its status."""
        with self.door.session(self.alice, app="dav") as session:
            return session.request(
                method, path, headers={"Destination": destination, "Overwrite": "T"}
            ).status


@pytest.fixture(scope="module")
def share() -> Iterator[Share]:
    """One share for all tests of this file."""
    with nginx() as (files, port), open_doorway() as door:
        door.apply(RULES, app="dav", upstream=f"http://127.0.0.1:{port}", headers="{destination: judge}")
        alice = door.person("alice", "staff")
        one = Share(door, alice, files)
        assert eventually(lambda: one.door.get(alice, "/a.txt", app="dav").status == 200)
        yield one


def test_a_copy_and_a_move_arrive(share: Share) -> None:
    """RFC 4918 sections 9.8 and 9.9, with a Destination as an absolute URI and as an absolute path."""
    assert share.ask("COPY", "/a.txt", f"http://dav.{DOMAIN}/b.txt") in {201, 204}
    assert share.ask("MOVE", "/b.txt", "/c.txt") in {201, 204}
    assert sorted(one.name for one in share.files.glob("*.txt")) == ["a.txt", "c.txt"]


@pytest.mark.parametrize(
    ("destination", "status"),
    [
        ("/archive/b.txt", 403),
        (f"http://dav.{DOMAIN}/archive/b.txt", 403),
        ("/x/../archive/b.txt", 400),
        ("//archive/b.txt", 400),
        ("/%61rchive/b.txt", 400),
        ("http://other.test/archive/b.txt", 400),
    ],
)
def test_nothing_is_written_below_a_denied_path(share: Share, destination: str, status: int) -> None:
    """For every way of writing the Destination."""
    assert share.ask("COPY", "/a.txt", destination) == status
    assert share.ask("MOVE", "/a.txt", destination) == status
    assert list((share.files / "archive").iterdir()) == []
    assert (share.files / "a.txt").exists()

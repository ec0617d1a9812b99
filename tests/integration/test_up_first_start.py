"""The first start on a real key store and database: complete or not done, and never done twice."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.audit.note import render_verifier_key, verifier_key
from doorward.authority import founding
from doorward.core.errors import (
    ConfigurationError,
    DoorwardError,
    IntegrityError,
    NotFound,
    RequestRefused,
    Unavailable,
)
from doorward.core.ports import KeyKind
from doorward.runtime import initialise as module
from doorward.runtime.compose import LOG_KEY, Installation
from doorward.runtime.compose import installation as compose
from doorward.runtime.initialise import Initialised, initialise
from doorward.runtime.layout import Layout, only_one
from doorward.runtime.settings import Settings, load_settings
from doorward.runtime.world import SoftwareKeys
from doorward.storage.keystore import FileKeyStore
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.stores.policy_snapshot import current_document
from tests.support.doorway import is_root
from tests.support.ports import FakeRandom
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("quick_keys")


def settings_in(folder: Path, **more: object) -> Settings:
    """The settings of an installation in a folder."""
    return Settings(
        data=folder / "data",
        trust_domain="corp.example",
        passphrase_file=folder / "passphrase",
        user="nobody",
        **more,
    )


def found(folder: Path, **more: object) -> Initialised:
    """Found an installation."""
    return initialise(settings_in(folder, **more), FakeRandom(), actor="os:0")


def opened(folder: Path) -> Installation:
    """The installation as any later command opens it: by its own settings file."""
    return Installation(load_settings(environ={}, data=folder / "data"))


def test_everything_is_there_afterwards(folder: Path) -> None:
    """Tenant, keys, log key and settings fit together, and later commands need no options."""
    done = found(folder)
    assert done.passphrase_made
    assert stat.S_IMODE(done.passphrase_file.stat().st_mode) == 0o600
    installation = opened(folder)
    assert installation.is_founded()
    assert installation.tenant() == done.tenant
    installation.unlock()
    key = verifier_key("corp.example/audit", installation.log_key().public_key())
    assert installation.log_verifier_key() == render_verifier_key(key)
    assert installation.log_origin() == "corp.example/audit"
    with installation.services.work.read() as stores:
        assert current_document(stores)[1] == 0
    installation.close()


def test_settings_reach_the_use_cases(folder: Path) -> None:
    """The settings decide the lifetime of revocation data."""
    found(folder)
    settings = load_settings(
        environ={"DOORWARD_CRL_LIFETIME": "1h", "DOORWARD_CRL_PARTITIONS": "16"},
        data=folder / "data",
        ocsp_lifetime="2h",
    )
    services = Installation(settings).services
    assert (services.crl_lifetime, services.ocsp_lifetime) == (timedelta(hours=1), timedelta(hours=2))
    assert services.crl_partitions == 16


@pytest.mark.skipif(not is_root(), reason="only root hands anything over")
def test_the_ordinary_user_owns_what_runs(folder: Path) -> None:
    """Started by root, folders and files are the ordinary user's; settings and passphrase stay root's."""
    found(folder)
    layout = Layout(folder / "data")
    for path in (layout.keys, layout.database, layout.run, layout.gateway, *layout.keys.iterdir()):
        assert path.stat().st_uid != 0, path
    for path in (layout.data, layout.settings_file, layout.log_key, folder / "passphrase"):
        assert path.stat().st_uid == 0, path
    assert stat.S_IMODE(layout.data.stat().st_mode) == 0o711
    assert stat.S_IMODE(layout.keys.stat().st_mode) == 0o700


def test_a_second_time_is_refused_and_changes_nothing(folder: Path) -> None:
    """An installation that is complete is left alone."""
    found(folder)
    before = {path: path.read_bytes() for path in (folder / "data" / "keys").iterdir()}
    passphrase = (folder / "passphrase").read_bytes()
    with refused(RequestRefused, "already-initialised") as caught:
        found(folder)
    assert "doorward up" in caught.value.hint
    assert {path: path.read_bytes() for path in (folder / "data" / "keys").iterdir()} == before
    assert (folder / "passphrase").read_bytes() == passphrase


STEPS = {
    "passphrase": (module, "write_passphrase"),
    "settings": (module, "write_settings"),
    "key store": (FileKeyStore, "create"),
    "database": (SqliteDatabase, "create"),
    "schema": (compose, "migrate"),
    "log key": (FileKeyStore, "store"),
    "verifier key": (Installation, "_write_log_key"),
    "authority": (founding, "found"),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_interrupted_start_is_resumed(
    folder: Path, step: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption at any step, a second run makes the same complete installation."""
    owner, name = STEPS[step]
    real = getattr(owner, name)

    def interrupted(*args: object, **options: object) -> object:
        if when == "after":
            real(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            found(folder)
    passphrase = (folder / "passphrase").read_bytes() if (folder / "passphrase").exists() else None
    if (step, when) == ("authority", "after"):
        with pytest.raises(RequestRefused):
            found(folder)
    else:
        found(folder)
    if passphrase is not None:
        assert (folder / "passphrase").read_bytes() == passphrase
    installation = opened(folder)
    installation.unlock()
    assert installation.tenant().trust_domain == "corp.example"
    key = verifier_key("corp.example/audit", installation.log_key().public_key())
    assert installation.log_verifier_key() == render_verifier_key(key)
    installation.close()


def test_two_at_once_make_one_installation(folder: Path) -> None:
    """While one `init` is at work another one is refused, naming its process."""
    layout = Layout(folder / "data")
    layout.create()
    with only_one(layout, "init"), refused(Unavailable, "already-running") as caught:
        found(folder)
    assert str(os.getpid()) in caught.value.detail
    assert found(folder).passphrase_made


# opening what is not there, or is damaged


def test_nothing_there(folder: Path) -> None:
    """If there is no installation, each way to open it says how to make one."""
    installation = Installation(settings_in(folder))
    assert not installation.is_founded()
    for way in (installation.tenant, installation.unlock, lambda: installation.database):
        with refused(Unavailable, "not-initialised") as caught:
            way()
        assert "doorward init" in caught.value.hint
    with refused(Unavailable, "keys-locked"):
        installation.log_key()
    with refused(NotFound, "log-key-missing") as missing:
        installation.log_verifier_key()
    assert "--key" in missing.value.hint


def test_a_database_without_a_tenant_is_not_an_installation(folder: Path) -> None:
    """A database that was created but not founded is not an installation."""
    found(folder)
    installation = Installation(settings_in(folder / "other"))
    installation.layout.create()
    database = SqliteDatabase(installation.layout.database)
    database.create()
    compose.migrate(database)
    database.close()
    assert not installation.is_founded()
    with refused(Unavailable, "not-initialised"):
        installation.tenant()
    installation.close()


def test_a_wrong_passphrase(folder: Path) -> None:
    """A wrong passphrase does not open the key store, and the error says which file to look for."""
    found(folder)
    (folder / "passphrase").write_text("quite another passphrase\n")
    with refused(RequestRefused, "passphrase-wrong") as caught:
        opened(folder).unlock()
    assert caught.value.hint


def test_a_person_is_asked_if_no_file_is_named(folder: Path) -> None:
    """Without a file the passphrase is prompted for; if there is no terminal, the error says so."""
    done = found(folder)
    secret = done.passphrase_file.read_text().strip()
    settings = done.settings.model_copy(update={"passphrase_file": None})
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return secret

    Installation(settings, passphrase_prompt=answer).unlock()
    assert asked == ["passphrase of the key store"]
    with refused(Unavailable, "passphrase-missing"):
        Installation(settings).unlock()


def test_a_log_key_of_another_kind(folder: Path) -> None:
    """If the log key cannot sign checkpoints, every command stops."""
    done = found(folder)
    installation = Installation(done.settings)
    installation.unlock()
    assert installation._keys is not None
    installation._keys.remove(LOG_KEY)
    installation._keys.store(LOG_KEY, SoftwareKeys().generate(KeyKind.P256))
    with refused(IntegrityError, "log-key-foreign"):
        installation.log_key()


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"SQLite format 3\0" + b"\xff" * 200])
def test_a_damaged_database(folder: Path, content: bytes) -> None:
    """Garbage in place of the database causes a Doorward error, and is not changed."""
    found(folder)
    path = Layout(folder / "data").database
    for more in path.parent.iterdir():
        if more != path:
            more.unlink()
    path.write_bytes(content)
    with pytest.raises(DoorwardError) as caught:
        opened(folder).tenant()
    assert caught.value.detail
    assert not content or path.read_bytes() == content


def test_closing_lets_it_open_again(folder: Path) -> None:
    """A closed installation opens again when it is asked."""
    found(folder)
    installation = opened(folder)
    tenant = installation.tenant()
    installation.close()
    installation.close()
    assert installation.tenant() == tenant
    installation.close()


# links


def test_links_name_the_public_port(folder: Path) -> None:
    """The address of the enrolment host is what people can reach; the usual port is left out."""
    done = found(folder, gateway_listen="127.0.0.1:9443")
    installation = Installation(done.settings)
    assert installation.enrolment_origin() == "https://enroll.corp.example:9443"
    assert "enroll.corp.example:9443" in installation.enrolment_link("t" * 32)
    public = Installation(done.settings.model_copy(update={"gateway_public_port": 443}))
    assert public.enrolment_origin() == "https://enroll.corp.example"
    assert public.portal_origin() == "https://portal.corp.example"
    installation.close()
    public.close()


# locks


def test_a_lock_of_another_process_names_it(folder: Path) -> None:
    """A start that finds a role running names its process; when that is killed, the lock is free."""
    layout = Layout(folder / "data")
    layout.create()
    script = (
        "import pathlib, sys\nfrom doorward.runtime.layout import Layout, only_one\n"
        f"with only_one(Layout(pathlib.Path({str(layout.data)!r})), 'serve'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable) as caught, only_one(layout, "serve"):
            pass
        assert caught.value.code == "already-running"
        assert f"process {holder.pid}" in caught.value.detail
        with only_one(layout, "gateway"):
            pass
        holder.kill()
        holder.wait()
    with only_one(layout, "serve"):
        pass
    with only_one(layout, "serve"):
        pass


def test_a_lock_that_cannot_be_opened(folder: Path) -> None:
    """If the lock's folder is missing or taken, the error says what to do."""
    layout = Layout(folder / "data")
    for prepare in (lambda: None, lambda: (layout.create(), (layout.data / "serve.lock").mkdir())):
        prepare()
        with pytest.raises(Unavailable) as caught, only_one(layout, "serve"):
            pass
        assert caught.value.code == "lock-unusable"
        assert caught.value.hint


def test_a_symbolic_link_is_not_a_lock(folder: Path) -> None:
    """A symbolic link in place of the lock file is not followed."""
    layout = Layout(folder / "data")
    layout.create()
    (layout.data / "serve.lock").symlink_to(folder / "elsewhere")
    with pytest.raises(Unavailable), only_one(layout, "serve"):
        pass
    assert not (folder / "elsewhere").exists()


def test_the_file_of_a_setting_is_named(folder: Path) -> None:
    """A settings file that is broken stops every command, naming the file."""
    found(folder)
    (folder / "data" / "doorward.toml").write_text("trust_domain = ")
    with pytest.raises(ConfigurationError) as caught:
        opened(folder)
    assert str(folder / "data" / "doorward.toml") in caught.value.detail

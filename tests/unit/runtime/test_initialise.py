"""The first start on the ground of real files: what is made, what is kept, what is refused."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, RequestRefused
from doorward.runtime.initialise import (
    WRITTEN,
    check_founded,
    check_unchanged,
    default_passphrase_file,
    initialise,
    write_passphrase,
    write_settings,
)
from doorward.runtime.settings import Settings, load_settings
from tests.support.ports import FakeRandom

# the passphrase


def test_a_passphrase_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """The file is new, closed to others, and long enough for a key store."""
    path = tmp_path / "deep" / "passphrase"
    before = os.umask(0)
    try:
        assert write_passphrase(path, FakeRandom())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_bytes().strip()) == 32


def test_a_passphrase_is_never_overwritten(tmp_path: Path) -> None:
    """A passphrase that is there stays: with another one nothing would open any more."""
    path = tmp_path / "passphrase"
    path.write_text("my own words of old\n")
    assert not write_passphrase(path, FakeRandom())
    assert path.read_text() == "my own words of old\n"


def test_an_empty_file_is_what_an_interrupted_start_left(tmp_path: Path) -> None:
    """An empty passphrase file is filled and closed."""
    path = tmp_path / "passphrase"
    path.touch(0o644)
    assert write_passphrase(path, FakeRandom())
    assert path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """A link that somebody put there does not lead the passphrase elsewhere."""
    other = tmp_path / "other"
    (tmp_path / "passphrase").symlink_to(other)
    assert not write_passphrase(tmp_path / "passphrase", FakeRandom())
    assert not other.exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A path through a file is a clear error that names the setting."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError) as caught:
        write_passphrase(tmp_path / "file" / "passphrase", FakeRandom())
    assert caught.value.code == "passphrase-file-unusable"
    assert caught.value.faults[0].key == "passphrase_file"


def test_the_usual_place_is_outside_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two data directories of one name have two passphrase files, neither within the data."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    first, second = (default_passphrase_file(tmp_path / one / "data") for one in ("a", "b"))
    assert first.parent == second.parent == Path("/etc/doorward")
    assert first != second
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config")
    assert default_passphrase_file(tmp_path / "data").parent == Path("/config/doorward")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert default_passphrase_file(tmp_path / "data").parent == Path("/home/x/.config/doorward")


# the settings file


def test_what_later_commands_need_is_written(tmp_path: Path) -> None:
    """What differs from its default is written, and reads back the same; a passphrase is not in it."""
    settings = Settings(
        data=tmp_path,
        trust_domain="corp.example",
        gateway_listen="127.0.0.1:9443",
        gateway_public_port=443,
        passphrase_file=tmp_path / 'odd "name" \\ \x7f ä',
    )
    write_settings(settings, tmp_path / "doorward.toml")
    assert load_settings(environ={}, data=tmp_path) == settings
    kept = tomllib.loads((tmp_path / "doorward.toml").read_text())
    assert set(kept) == {"trust_domain", "gateway_listen", "gateway_public_port", "passphrase_file"}
    assert stat.S_IMODE((tmp_path / "doorward.toml").stat().st_mode) == 0o644


def test_every_line_of_an_existing_file_stays(tmp_path: Path) -> None:
    """A file that was prepared by hand keeps every line; what it lacks is added."""
    file = tmp_path / "doorward.toml"
    file.write_text('# mine\ntrust_domain = "corp.example"\nmax_staleness = "3s"', encoding="utf-8")
    settings = load_settings(environ={}, data=tmp_path, status_listen="127.0.0.1:9")
    write_settings(settings.model_copy(update={"passphrase_file": Path("/p")}), file)
    assert file.read_text().startswith('# mine\ntrust_domain = "corp.example"\nmax_staleness = "3s"\n')
    again = load_settings(environ={}, data=tmp_path)
    assert (again.status_listen, again.passphrase_file) == ("127.0.0.1:9", Path("/p"))


def test_a_whole_file_is_not_touched(tmp_path: Path) -> None:
    """Where nothing is to be added the file is left as it is."""
    file = tmp_path / "doorward.toml"
    file.write_text('trust_domain="corp.example"\npassphrase_file="/p"\n', encoding="utf-8")
    before = file.stat().st_mtime_ns
    write_settings(load_settings(environ={}, data=tmp_path), file)
    assert file.stat().st_mtime_ns == before


def test_what_is_written_can_be_set() -> None:
    """`init` writes settings that exist."""
    assert set(WRITTEN) < set(Settings.model_fields)


# what is refused before anything is made


def refused(settings: Settings, **explicit: str) -> list[str]:
    """The codes of the faults; nothing may have been made."""
    with pytest.raises(ConfigurationError) as caught:
        initialise(settings, FakeRandom(), actor="os:0", explicit=explicit)
    assert not settings.data.exists() or not (settings.data / "db").exists()
    return [fault.code for fault in caught.value.faults]


def test_a_trust_domain_is_needed(tmp_path: Path) -> None:
    """Without a trust domain nothing is made."""
    assert refused(Settings(data=tmp_path / "data")) == ["trust-domain-missing"]


@pytest.mark.parametrize("listen", ["0.0.0.0:8480", "[::]:8480"])
def test_a_wildcard_is_no_public_address(tmp_path: Path, listen: str) -> None:
    """An address that clients cannot connect to is refused; all faults are reported at once."""
    settings = Settings(data=tmp_path / "data", status_listen=listen)
    assert refused(settings) == ["trust-domain-missing", "status-url-missing"]


def test_a_file_that_says_otherwise_is_not_ignored(tmp_path: Path) -> None:
    """An option that the settings file would overrule later is refused, naming both."""
    (tmp_path / "doorward.toml").write_text('gateway_listen = "127.0.0.1:1"\n')
    settings = load_settings(
        environ={}, data=tmp_path, trust_domain="corp.example", gateway_listen="127.0.0.1:2"
    )
    given = {"gateway_listen": "127.0.0.1:2", "trust_domain": "corp.example"}
    assert refused(settings, **given) == ["settings-differ"]


# options for an installation that exists


def test_what_the_founding_fixed_cannot_be_changed() -> None:
    """Another trust domain or status address is refused; the same one, or none, is fine."""
    tenant = {"trust_domain": "corp.example", "status_url": "http://pki.corp.example"}
    check_founded(tenant, {})
    check_founded(tenant, {"trust_domain": "corp.example", "status_url": "http://pki.corp.example/"})
    check_founded(tenant, {"gateway_listen": "127.0.0.1:1"})
    for other in ({"trust_domain": "other.example"}, {"status_url": "http://other.example"}):
        with pytest.raises(RequestRefused) as caught:
            check_founded(tenant, other)
        assert caught.value.code == "already-initialised"


def test_an_option_that_init_would_ignore_is_refused(tmp_path: Path) -> None:
    """A second `init` writes no settings: an option that says otherwise than they do is not ignored silently."""
    current = Settings(data=tmp_path, gateway_listen="127.0.0.1:1")
    check_unchanged(current, Settings(data=tmp_path, gateway_listen="127.0.0.1:1"), ["gateway_listen"])
    with pytest.raises(RequestRefused) as caught:
        check_unchanged(current, Settings(data=tmp_path, gateway_listen="127.0.0.1:2"), ["gateway_listen"])
    assert caught.value.code == "already-initialised"
    assert "gateway_listen is 127.0.0.1:1 here" in caught.value.detail
    assert "doorward.toml" in caught.value.hint

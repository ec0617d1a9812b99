"""The operator's file of stolen passwords, in both forms."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.runtime import breached_passwords
from doorward.runtime.breached_passwords import open_breached
from tests.support.refusals import refused

WORDS = [f"password number {number}" for number in range(500)]


def sha1(word: str) -> str:
    """Return the hash as the downloads have it."""
    return hashlib.sha1(word.encode()).hexdigest().upper()


@pytest.mark.parametrize("ending", ["\n", "\r\n", ":17\n"])
def test_every_hash_of_a_sorted_file_is_found_and_no_other(tmp_path: Path, ending: str) -> None:
    """The first, the last, and each between; with counts or without."""
    file = tmp_path / "pwned.txt"
    file.write_bytes("".join(f"{line}{ending}" for line in sorted(map(sha1, WORDS))).encode())
    found = open_breached(file)
    assert all(found.contains(word) for word in WORDS)
    assert not any(found.contains(word + "!") for word in WORDS)


def test_one_hash_in_lower_case_without_an_end_of_line_is_found(tmp_path: Path) -> None:
    """The smallest list there is."""
    file = tmp_path / "one.txt"
    file.write_text(sha1("x").lower())
    assert open_breached(file).contains("x")
    assert not open_breached(file).contains("y")


def test_plain_passwords_are_found_whatever_their_letters(tmp_path: Path) -> None:
    """UTF-8, in any order."""
    file = tmp_path / "plain.txt"
    file.write_text("\n".join([*WORDS, "", "größer als gedacht"]))
    found = open_breached(file)
    assert found.contains("größer als gedacht")
    assert not found.contains("")


def test_an_unsorted_file_of_hashes_is_refused(tmp_path: Path) -> None:
    """It would find nothing, and say nothing."""
    file = tmp_path / "pwned.txt"
    file.write_text("".join(f"{sha1(word)}\n" for word in WORDS))
    with pytest.raises(ConfigurationError, match="not sorted"):
        open_breached(file)


def test_other_lines_among_hashes_are_refused(tmp_path: Path) -> None:
    """Hashes and passwords in one file are a mistake."""
    file = tmp_path / "mixed.txt"
    file.write_text(f"{sha1('x')}\npassword\n")
    with pytest.raises(ConfigurationError, match="not sorted"):
        open_breached(file)


@pytest.mark.parametrize("content", [b"", None])
def test_an_empty_or_missing_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """The operator wanted a list."""
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with refused(ConfigurationError, "breached-passwords-unusable"):
        open_breached(file)


def test_too_many_plain_passwords_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would fill the memory; hashes are searched on the disk."""
    monkeypatch.setattr(breached_passwords, "MOST_PLAIN_BYTES", 10)
    file = tmp_path / "plain.txt"
    file.write_text("more than ten characters\n")
    with pytest.raises(ConfigurationError, match="plain passwords"):
        open_breached(file)


def test_if_the_file_is_missing_no_password_can_be_chosen(tmp_path: Path) -> None:
    """Fail closed: without the list no password is taken."""
    file = tmp_path / "pwned.txt"
    file.write_text("".join(f"{line}\n" for line in sorted(map(sha1, WORDS))))
    found = open_breached(file)
    file.unlink()
    with refused(Unavailable, "breached-passwords-unreadable"):
        found.contains("x")

"""Signed notes and checkpoints: forms, limits, and which signatures count."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    render_checkpoint,
    render_verifier_key,
    sign_note,
    verifier_key,
    verify_note,
)
from doorward.core.errors import IntegrityError, MalformedInput
from tests.support.refusals import refused

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
NAME = "corp.example/audit"
KEY = verifier_key(NAME, SIGNER.public_key())
OTHER_KEY = verifier_key(NAME, OTHER.public_key())
TEXT = "first line\n\nthird line\n"
NOTE = sign_note(TEXT, SIGNER, NAME)
ROOT = bytes(range(32))
HEAD = Checkpoint(origin=NAME, size=7, root=ROOT)


def encoded(algorithm: int, key: bytes) -> str:
    """The last part of a verifier key."""
    return base64.b64encode(bytes([algorithm]) + key).decode()


def line(name: str, data: bytes) -> str:
    """A signature line."""
    return f"\u2014 {name} {base64.b64encode(data).decode()}\n"


def test_a_note_round_trip() -> None:
    """Verification returns the signed text, with its empty lines."""
    assert verify_note(NOTE, [KEY]) == TEXT
    assert verify_note(NOTE.encode(), [KEY]) == TEXT
    assert parse_note(NOTE).unverified_text == TEXT


def test_a_verifier_key_round_trip() -> None:
    """The one-line form of a key can be parsed."""
    assert parse_verifier_key(render_verifier_key(KEY)) == KEY


@pytest.mark.parametrize(
    "name", ["", "two words", "a+b", "tab\there", "nul\x00", "\u00a0", "a\u2003b", "\ud800", "a\n"]
)
def test_names_that_cannot_name_a_key(name: str) -> None:
    """Names with spaces of any script, plus, or control characters are refused."""
    with refused(MalformedInput, "key-malformed"):
        VerifierKey(name=name, public_key=bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_public_key_has_32_bytes(length: int) -> None:
    """Another length is refused."""
    with pytest.raises(MalformedInput):
        VerifierKey(name=NAME, public_key=bytes(length))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "++",
        NAME,
        f"{NAME}+{KEY.key_id.hex()}",
        f"{NAME}+{KEY.key_id.hex()}+",
        f"{NAME}+{KEY.key_id.hex()}+é",
        f"{NAME}+{KEY.key_id.hex()}+{encoded(1, bytes(31))}",
        f"{NAME}+{KEY.key_id.hex()}+{encoded(2, KEY.public_key)}",
        f"{NAME}+00000000+{encoded(1, KEY.public_key)}",
        render_verifier_key(KEY).replace(NAME, "corp.example/other"),
        render_verifier_key(KEY) + "\n",
        render_verifier_key(KEY) + "=",
    ],
)
def test_malformed_verifier_keys_are_refused(text: str) -> None:
    """Cut, padded, renamed and foreign keys are refused."""
    with refused(MalformedInput, "key-malformed"):
        parse_verifier_key(text)


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "return\r\n", "\x00\n"])
def test_texts_that_cannot_be_signed(text: str) -> None:
    """A text ends in a newline and has no other control character."""
    with refused(MalformedInput, "note-malformed"):
        sign_note(text, SIGNER, NAME)


def test_a_lone_surrogate_cannot_be_signed() -> None:
    """Text without a UTF-8 form is refused with our error."""
    with pytest.raises(MalformedInput):
        sign_note("\ud800\n", SIGNER, NAME)
    with pytest.raises(MalformedInput):
        parse_note("\ud800\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT.encode(),
        (TEXT + "\n").encode(),
        NOTE[:-1].encode(),
        (NOTE + "tail").encode(),
        (NOTE + "tail\n").encode(),
        (NOTE + "\n").encode(),
        ("\x01" + NOTE).encode(),
        b"\xff" + NOTE.encode(),
        NOTE.replace("\u2014", "-").encode(),
        (TEXT + "\n" + line(NAME, b"1234")).encode(),
        (TEXT + "\n" + line("a+b", b"12345")).encode(),
        (TEXT + "\n" + line("a b", b"12345")).encode(),
        (TEXT + "\n" + line("", b"12345")).encode(),
        (TEXT + f"\n\u2014 {NAME}\n").encode(),
        (TEXT + f"\n\u2014 {NAME} !!!!\n").encode(),
        (TEXT + "\n" + line(NAME, b"12345") * 101).encode(),
        b"x" * MAX_NOTE_BYTES + NOTE.encode(),
        "é".encode() * MAX_NOTE_BYTES,
    ],
)
def test_malformed_notes_are_refused(data: bytes) -> None:
    """Cut, extended, oversized and malformed notes are refused with our error."""
    with refused(MalformedInput, "note-malformed"):
        parse_note(data)


def test_a_hundred_signatures_are_read() -> None:
    """The limit is 100 signatures, more than the 16 that the standard requires."""
    assert len(parse_note(TEXT + "\n" + line("w", b"12345") * 100).signatures) == 100


def test_an_altered_text_is_refused() -> None:
    """A note with an altered text does not verify."""
    with refused(IntegrityError, "signature-invalid"):
        verify_note(NOTE.replace("first", "fist"), [KEY])


def test_unknown_keys_are_ignored() -> None:
    """Signatures of unknown keys are ignored, valid or not, and do not replace a known key's."""
    signed_twice = NOTE + sign_note(TEXT, OTHER, NAME).rpartition("\n\n")[2] + line("witness", bytes(80))
    assert verify_note(signed_twice, [KEY]) == TEXT
    with refused(IntegrityError, "signature-missing"):
        verify_note(NOTE, [OTHER_KEY])
    with pytest.raises(IntegrityError):
        verify_note(NOTE, [])


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    """One invalid signature of a known key rejects the note, also if another one is valid."""
    wrong = NOTE + line(NAME, OTHER_KEY.key_id + bytes(64))
    with refused(IntegrityError, "signature-invalid"):
        verify_note(wrong, [KEY, OTHER_KEY])


def test_the_same_id_under_another_name_is_another_key() -> None:
    """Name and id must both match."""
    renamed = NOTE.replace(f"\u2014 {NAME}", "\u2014 corp.example/other")
    with refused(IntegrityError, "signature-missing"):
        verify_note(renamed, [KEY])


def test_a_checkpoint_round_trip() -> None:
    """A rendered checkpoint can be parsed, with its extension lines."""
    assert render_checkpoint(HEAD) == f"{NAME}\n7\n{base64.b64encode(ROOT).decode()}\n"
    assert parse_checkpoint(render_checkpoint(HEAD)) == HEAD
    extended = Checkpoint(origin=NAME, size=0, root=ROOT, extensions=("one", "two"))
    assert parse_checkpoint(render_checkpoint(extended)) == extended


B64 = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{NAME}\n7\n",
        f"{NAME}\n7\n{B64}",
        f"\n7\n{B64}\n",
        f"{NAME}\n7\n{B64}\n\n",
        f"{NAME}\n07\n{B64}\n",
        f"{NAME}\n-7\n{B64}\n",
        f"{NAME}\n7 \n{B64}\n",
        f"{NAME}\n\u0667\n{B64}\n",
        f"{NAME}\n9223372036854775808\n{B64}\n",
        f"{NAME}\n{'9' * 5000}\n{B64}\n",
        f"{NAME}\n7\n{B64[:-1]}\n",
        f"{NAME}\n7\n{B64[:-2]}9=\n",
        f"{NAME}\n7\nAAAA\n",
        f"{NAME}\n7\n{B64}=\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    """Other line counts, sizes, encodings and lengths are refused with our error."""
    with refused(MalformedInput, "checkpoint-malformed"):
        parse_checkpoint(text)


def test_the_largest_checkpoint() -> None:
    """Sizes go to 2^63 - 1."""
    assert parse_checkpoint(f"{NAME}\n9223372036854775807\n{B64}\n").size == 2**63 - 1


def test_a_signed_checkpoint_is_opened() -> None:
    """A checkpoint under its own key opens."""
    assert open_checkpoint(sign_note(render_checkpoint(HEAD), SIGNER, NAME), [KEY]) == HEAD


def test_a_key_cannot_sign_for_another_log() -> None:
    """A checkpoint of another log is refused, also if a known key signed it."""
    foreign = Checkpoint(origin="corp.example/other", size=7, root=ROOT)
    with refused(IntegrityError, "signature-missing"):
        open_checkpoint(sign_note(render_checkpoint(foreign), SIGNER, NAME), [KEY])

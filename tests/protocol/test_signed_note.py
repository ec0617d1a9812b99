"""C2SP signed-note and tlog-checkpoint: published vectors, and openssl as the outside judge."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from doorward.audit.note import (
    Checkpoint,
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
from tests.support.commands import run_program

# golang.org/x/mod/sumdb/note, note_test.go
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
PETER_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
ENOCH_LINE = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
# The example of C2SP tlog-checkpoint is a checkpoint of the Go checksum database under other names.
SUM_GOLANG_ORG = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_CHECKPOINT = """go.sum database tree
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


def peter_private() -> Ed25519PrivateKey:
    """The private key of Go's example."""
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(PETER_PRIVATE.split("+", 4)[4])[1:])


@pytest.mark.parametrize("text", [PETER, ENOCH, SUM_GOLANG_ORG])
def test_published_verifier_keys(text: str) -> None:
    """Keys of other implementations are read and written back byte for byte, key id included."""
    assert render_verifier_key(parse_verifier_key(text)) == text


def test_signing_gives_the_published_note() -> None:
    """Go's example key over Go's example text gives Go's example note."""
    assert sign_note(PETER_TEXT, peter_private(), "PeterNeumann") == f"{PETER_TEXT}\n{PETER_LINE}"
    assert render_verifier_key(verifier_key("PeterNeumann", peter_private().public_key())) == PETER


def test_the_published_notes_verify() -> None:
    """A note with two signatures verifies under either key and under both."""
    note = f"{PETER_TEXT}\n{PETER_LINE}{ENOCH_LINE}"
    peter, enoch = parse_verifier_key(PETER), parse_verifier_key(ENOCH)
    for keys in ([peter], [enoch], [peter, enoch]):
        assert verify_note(note, keys) == PETER_TEXT
    assert [line.name for line in parse_note(note).signatures] == ["PeterNeumann", "EnochRoot"]


def test_manglings_of_a_key_are_refused() -> None:
    """No part of Go's example key is a key, and no character of it can be raised by one."""
    for start in range(len(PETER)):
        for end in range(start, len(PETER) + 1):
            if end - start < len(PETER):
                with pytest.raises(MalformedInput):
                    parse_verifier_key(PETER[start:end])
    for place, character in enumerate(PETER):
        with pytest.raises(MalformedInput):
            parse_verifier_key(PETER[:place] + chr(ord(character) + 1) + PETER[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
    ids=["wrong length", "unknown algorithm"],
)
def test_bad_keys_with_a_fitting_id_are_refused(text: str) -> None:
    """Go's two bad keys, with adjusted ids, are refused."""
    with pytest.raises(MalformedInput):
        parse_verifier_key(text)


@pytest.mark.parametrize(
    "note",
    [
        PETER_TEXT,
        f"{PETER_TEXT}\n",
        f"{PETER_TEXT}\n{PETER_LINE[:-1]}",
        f"\x01{PETER_TEXT}\n{PETER_LINE}",
        f"{PETER_TEXT}\n— Bad Name {PETER_LINE.split(' ')[2]}",
        f"{PETER_TEXT}\n{PETER_LINE}Unexpected line.\n",
        f"{PETER_TEXT}\n{PETER_LINE * 101}",
    ],
)
def test_bad_notes_are_refused(note: str) -> None:
    """The malformed notes of Go's tests are malformed here."""
    with pytest.raises(MalformedInput):
        verify_note(note, [parse_verifier_key(PETER)])


def test_a_known_key_with_a_bad_signature_is_refused() -> None:
    """Go's altered signature rejects the note."""
    with pytest.raises(IntegrityError):
        verify_note(f"{PETER_TEXT}\n{PETER_LINE[:60]}ABCD{PETER_LINE[60:]}", [parse_verifier_key(PETER)])


def test_a_real_checkpoint() -> None:
    """A checkpoint of the Go checksum database verifies and is read; altered by one leaf it is not."""
    key = parse_verifier_key(SUM_GOLANG_ORG)
    checkpoint = parse_checkpoint(verify_note(GO_CHECKPOINT, [key]))
    assert (checkpoint.origin, checkpoint.size) == ("go.sum database tree", 20852163)
    assert render_checkpoint(checkpoint) == verify_note(GO_CHECKPOINT, [key])
    with pytest.raises(IntegrityError):
        verify_note(GO_CHECKPOINT.replace("20852163", "20852164"), [key])


def test_openssl_accepts_our_signature(tmp_path: Path) -> None:
    """Openssl verifies the signature of a checkpoint over the note's text."""
    signer = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    text = render_checkpoint(Checkpoint(origin="corp.example/audit", size=1, root=bytes(32)))
    note = parse_note(sign_note(text, signer, "corp.example/audit"))
    public = Ed25519PublicKey.from_public_bytes(
        parse_verifier_key(
            render_verifier_key(verifier_key("corp.example/audit", signer.public_key()))
        ).public_key
    )
    (tmp_path / "key.pem").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "text").write_text(note.unverified_text, encoding="utf-8")
    (tmp_path / "signature").write_bytes(note.signatures[0].signature)
    command = "openssl pkeyutl -verify -rawin -pubin -inkey key.pem -in text -sigfile signature"
    done = run_program(command.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully")

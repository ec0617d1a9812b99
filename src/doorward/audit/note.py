"""Signed notes and checkpoints: the head of the tree as a signed text that everyone with the verifier key can verify.

Not here: the tree (`merkle`), when to sign (`log`), storing the private key.

    corp.example/audit                          origin: the log's name, and the name of its key
    1204                                        size: leaves
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=   root: base64 of 32 bytes

    — corp.example/audit Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOo…

A verifier key is `<name>+<key id in hex>+<base64 of 0x01 || public key>`; the key id is the first
four bytes of SHA-256(name || 0x0A || 0x01 || public key). Only Ed25519 (type 0x01) is accepted;
signatures of other keys are ignored, as the standard requires, so a witness may add its own signature.

Standard: C2SP signed-note v1.0.0, C2SP tlog-checkpoint v1.0.0, RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from doorward.audit.merkle import HASH_BYTES, MAX_SIZE
from doorward.audit.values import printable
from doorward.core.errors import IntegrityError, MalformedInput

MAX_NOTE_BYTES = 1_000_000
"""The limit of golang.org/x/mod/sumdb/note."""
MAX_SIGNATURES = 100
"""The limit of the same package; the standard requires at least 16."""
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_KEY_BYTES = 32
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_FORBIDDEN_IN_NAME = re.compile("[\x00-\x1f\ud800-\udfff]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """The public key of a log, with the log's name."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _is_key_name(self.name) or len(self.public_key) != _PUBLIC_KEY_BYTES:
            raise MalformedInput(
                "key-malformed",
                "a verifier key needs a public key of 32 bytes, and a name without spaces and without +",
            )

    @property
    def key_id(self) -> bytes:
        """The four bytes that identify this key in a signature line."""
        encoded = self.name.encode() + b"\n" + _ED25519 + self.public_key
        return sha256(encoded).digest()[:_KEY_ID_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line; the name is only a claim until the signature is verified."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parsed note. Nothing here is verified: `verify_note` returns the verified text."""

    unverified_text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of a log: its name, its number of leaves, its root (32 bytes).

    `extensions` are further lines, which monitors do not check; the standard advises against them and we write none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def verifier_key(name: str, key: Ed25519PublicKey) -> VerifierKey:
    """Return the verifier key of a public key; raises `MalformedInput` for a bad name."""
    return VerifierKey(name=name, public_key=key.public_bytes_raw())


def render_verifier_key(key: VerifierKey) -> str:
    """Return the key as one line of text, for an auditor to keep."""
    return f"{key.name}+{key.key_id.hex()}+{_to_base64(_ED25519 + key.public_key)}"


def parse_verifier_key(text: str) -> VerifierKey:
    """Parse `<name>+<key id>+<base64>`.

    Raises:
        MalformedInput: `key-malformed`: the text has another form, names another algorithm, or has the id of another key.
    """
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")  # the base64 part may contain a + too
    data = _from_base64(encoded)
    if data is None or not data.startswith(_ED25519):
        raise MalformedInput(
            "key-malformed",
            "this is not an Ed25519 verifier key",
            hint="give the line that `doorward audit key` printed: <name>+<key id>+<base64>",
        )
    key = VerifierKey(name=name, public_key=data.removeprefix(_ED25519))
    if key.key_id.hex() != key_id:
        raise MalformedInput(
            "key-malformed",
            "the id of the verifier key does not match its name and key",
            hint="copy the whole line that `doorward audit key` printed",
        )
    return key


def sign_note(text: str, signer: Ed25519PrivateKey, name: str) -> str:
    """Sign a text and return the note.

    Args:
        text: the text to sign; it must end in a newline and contain no other control character.
        signer: the private key.
        name: the name of the key.

    Raises:
        MalformedInput: `note-malformed` or `key-malformed`.

    Standard: C2SP signed-note, "Format".
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise MalformedInput("note-malformed", "the text has a control character or no newline at its end")
    key = verifier_key(name, signer.public_key())
    return f"{text}\n{_DASH}{name} {_to_base64(key.key_id + signer.sign(_to_utf8(text)))}\n"


def parse_note(data: bytes | str) -> Note:
    """Parse a signed note, at most 1,000,000 bytes and 100 signatures.

    Raises:
        MalformedInput: `note-malformed`.

    Not checked: any signature. Use `verify_note`.
    """
    raw = data if isinstance(data, bytes) else _to_utf8(data)
    try:
        text = raw[: MAX_NOTE_BYTES + 1].decode()
    except UnicodeDecodeError as error:
        raise MalformedInput("note-malformed", "the note is not UTF-8") from error
    # The text may contain empty lines; the last empty line separates it from the signatures.
    body, separator, lines = text.rpartition("\n\n")
    if len(raw) > MAX_NOTE_BYTES or not separator or not lines.endswith("\n") or _CONTROL.search(text):
        raise MalformedInput(
            "note-malformed",
            "the note must be a text, an empty line and signature lines, of at most 1,000,000 bytes",
        )
    signatures = lines[:-1].split("\n")
    if len(signatures) > MAX_SIGNATURES:
        raise MalformedInput("note-malformed", f"the note has more than {MAX_SIGNATURES} signatures")
    return Note(unverified_text=body + "\n", signatures=tuple(map(_parse_signature, signatures)))


def verify_note(data: bytes | str, keys: Sequence[VerifierKey]) -> str:
    """Return the text of a note, if at least one key has signed it and no signature of these keys is invalid.

    Raises:
        MalformedInput: `note-malformed`.
        IntegrityError: `signature-invalid`; `signature-missing`: none of the keys signed.

    Standard: C2SP signed-note, "Signatures".
    """
    note = parse_note(data)
    message = note.unverified_text.encode()
    verified = 0
    for line in note.signatures:
        for key in keys:
            if (line.name, line.key_id) != (key.name, key.key_id):
                continue  # signatures of unknown keys must be ignored
            try:
                Ed25519PublicKey.from_public_bytes(key.public_key).verify(line.signature, message)
            except InvalidSignature as error:
                raise IntegrityError(
                    "signature-invalid", "the note was altered or signed by another key", key=key.name
                ) from error
            verified += 1
    if not verified:
        raise IntegrityError(
            "signature-missing",
            "none of the given keys signed the note",
            hint="give the verifier key of this log",
        )
    return note.unverified_text


def render_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text to sign. The values are not checked here; `parse_checkpoint` checks them."""
    lines = [checkpoint.origin, str(checkpoint.size), _to_base64(checkpoint.root), *checkpoint.extensions]
    return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Parse the text of a note as a checkpoint.

    Raises:
        MalformedInput: `checkpoint-malformed`.

    Standard: C2SP tlog-checkpoint, "Note text".
    """
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):  # noqa: PLR2004  # origin, size, root
        raise MalformedInput(
            "checkpoint-malformed", "the checkpoint must have three lines or more, and no empty line"
        )
    origin, size, root, *extensions = lines
    digest = _from_base64(root)
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE or digest is None or len(digest) != HASH_BYTES:
        raise MalformedInput("checkpoint-malformed", "the size or the root of the checkpoint is malformed")
    return Checkpoint(origin=origin, size=int(size), root=digest, extensions=tuple(extensions))


def open_checkpoint(data: bytes | str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Verify a signed checkpoint and parse it; its origin must be the name of one of the keys.

    This is stricter than the standard ("SHOULD match"): a key must not sign for another log.

    Raises:
        MalformedInput: `note-malformed`, `checkpoint-malformed`.
        IntegrityError: `signature-invalid`, `signature-missing`.
    """
    checkpoint = parse_checkpoint(verify_note(data, keys))
    if checkpoint.origin not in {key.name for key in keys}:
        raise IntegrityError(
            "signature-missing",
            f"the checkpoint belongs to the log {printable(checkpoint.origin, 64)}, but the key belongs to another log",
        )
    return checkpoint


def _parse_signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = _from_base64(encoded)
    if not line.startswith(_DASH) or not _is_key_name(name) or data is None or len(data) <= _KEY_ID_BYTES:
        raise MalformedInput("note-malformed", "a signature line is malformed")
    return NoteSignature(name=name, key_id=data[:_KEY_ID_BYTES], signature=data[_KEY_ID_BYTES:])


def _is_key_name(name: str) -> bool:
    # split() divides at every Unicode space; an empty name is refused too.
    return name.split() == [name] and "+" not in name and not _FORBIDDEN_IN_NAME.search(name)


def _to_utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MalformedInput("note-malformed", "the note is not UTF-8") from error


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_base64(text: str) -> bytes | None:
    """Return the bytes of canonical base64; None for anything else, so that one value has exactly one text."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if _to_base64(data) == text else None

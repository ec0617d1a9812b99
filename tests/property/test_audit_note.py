"""Notes, keys and checkpoints: any text is a value or malformed, and no altered note verifies."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from doorward.audit.note import (
    Checkpoint,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    render_checkpoint,
    render_verifier_key,
    sign_note,
    verify_note,
)
from doorward.core.errors import DoorwardError, MalformedInput
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER

KEY = parse_verifier_key(VERIFIER)
NOTE = sign_note(render_checkpoint(Checkpoint(origin=ORIGIN, size=7, root=bytes(32))), SIGNER, ORIGIN)
bodies = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]) | st.just("\n"), max_size=80)


@given(st.one_of(st.binary(max_size=200), st.text(st.characters(), max_size=200)))
def test_any_bytes_are_a_note_or_malformed(data: bytes | str) -> None:
    """Parsing a note never raises a foreign exception."""
    try:
        assert parse_note(data).signatures
    except MalformedInput as error:
        if error.code != "note-malformed":
            raise


@given(st.text(st.characters(), max_size=120))
@example(f"{ORIGIN}+\ud800")
def test_any_text_is_a_key_or_malformed(text: str) -> None:
    """A key that parses renders as it was."""
    try:
        assert render_verifier_key(parse_verifier_key(text)) == text
    except MalformedInput as error:
        if error.code != "key-malformed":
            raise


@given(st.text(st.characters(), max_size=120))
def test_any_text_is_a_checkpoint_or_malformed(text: str) -> None:
    """A checkpoint that parses renders as it was."""
    try:
        assert render_checkpoint(parse_checkpoint(text)) == text
    except MalformedInput as error:
        if error.code != "checkpoint-malformed":
            raise


@given(
    st.text(st.characters(min_codepoint=0x20), min_size=1, max_size=30).filter(lambda text: "\n" not in text),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_every_checkpoint_is_read_back(origin: str, size: int, root: bytes) -> None:
    """Rendering and parsing a checkpoint are inverse."""
    checkpoint = Checkpoint(origin=origin, size=size, root=root)
    assert parse_checkpoint(render_checkpoint(checkpoint)) == checkpoint


@given(bodies)
def test_every_text_that_is_signed_verifies(body: str) -> None:
    """What is signed is what is read, empty lines and signature look-alikes included."""
    text = body + "\n"
    assert verify_note(sign_note(text, SIGNER, ORIGIN), [KEY]) == text


@given(st.integers(0, len(NOTE) - 1), st.characters())
def test_no_altered_checkpoint_opens(place: int, character: str) -> None:
    """A signed checkpoint with any one character replaced opens no more."""
    altered = NOTE[:place] + character + NOTE[place + 1 :]
    try:
        checkpoint = open_checkpoint(altered, [KEY])
    except DoorwardError:
        return
    assert altered == NOTE
    assert checkpoint.size == 7

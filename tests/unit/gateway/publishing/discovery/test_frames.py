"""gRPC's framing: messages are cut at their prefixes, and what is too large or compressed is refused."""

from __future__ import annotations

import time

import pytest

from doorward.core.errors import MalformedInput
from doorward.gateway.publishing.discovery.frames import (
    MESSAGE_BYTES,
    MessageReader,
    parse_prefix,
    render_message,
)


def test_messages_are_cut_however_they_arrive() -> None:
    """Whole, together, octet by octet: the messages are the same."""
    sent = [b"", b"a", b"b" * 70_000]
    data = b"".join(map(render_message, sent))
    assert MessageReader().feed(data) == sent
    reader = MessageReader()
    assert [one for at in range(len(data)) for one in reader.feed(data[at : at + 1])] == sent
    assert reader.buffered == 0


@pytest.mark.parametrize("flag", [1, 2, 255])
def test_a_compressed_message_is_refused(flag: int) -> None:
    """No compression was offered, and no other flag is known."""
    with pytest.raises(MalformedInput) as caught:
        MessageReader().feed(bytes([flag]) + render_message(b"x")[1:])
    assert caught.value.code == "discovery-frame-malformed"


def test_a_message_over_the_limit_is_refused_by_its_prefix() -> None:
    """The longest message is accepted; of a longer one not an octet is waited for."""
    reader = MessageReader()
    assert reader.feed(b"\0" + MESSAGE_BYTES.to_bytes(4)) == []
    assert reader.feed(bytes(MESSAGE_BYTES)) == [bytes(MESSAGE_BYTES)]
    with pytest.raises(MalformedInput) as caught:
        reader.feed(b"\0" + (MESSAGE_BYTES + 1).to_bytes(4))
    assert caught.value.code == "discovery-message-too-large"


def test_a_prefix_has_five_octets() -> None:
    """Anything else is no prefix."""
    for wrong in (b"", b"\0\0\0\0", bytes(6)):
        with pytest.raises(MalformedInput):
            parse_prefix(wrong)


def test_the_largest_message_is_put_together_in_linear_time() -> None:
    """8 MiB in frames of 16 kB take no time to speak of: the octets are not copied with each frame."""
    begun = time.process_time()
    reader, frame = MessageReader(), bytes(1 << 14)
    reader.feed(b"\0" + MESSAGE_BYTES.to_bytes(4))
    assert sum(len(reader.feed(frame)) for _ in range(MESSAGE_BYTES >> 14)) == 1
    assert time.process_time() - begun < 2

"""The reader of Envoy's question takes what protobuf's own library takes, and finds the same certificate."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput
from doorward.gateway.authorizer.reading import read_certificate
from tests.support.ext_authz_pb2 import CheckRequest


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*octets, number))


def sized(number: int, value: bytes) -> bytes:
    """A field of octets."""
    return varint(number << 3 | 2) + varint(len(value)) + value


numbers = st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16, 2047, (1 << 29) - 1]) | st.integers(0, 1 << 30)
scalars = st.one_of(
    st.builds(
        lambda number, value: varint(number << 3) + varint(value), numbers, st.integers(0, (1 << 64) - 1)
    ),
    st.builds(
        lambda number, value: varint(number << 3 | 1) + value, numbers, st.binary(min_size=8, max_size=8)
    ),
    st.builds(
        lambda number, value: varint(number << 3 | 5) + value, numbers, st.binary(min_size=4, max_size=4)
    ),
    st.builds(sized, numbers, st.binary(max_size=20)),
    st.builds(
        lambda text: sized(5, text.encode()), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    ),
)
messages = st.recursive(
    st.lists(scalars, max_size=3).map(b"".join),
    lambda inner: st.lists(
        st.one_of(
            scalars,
            inner.map(lambda value: sized(1, value)),
            st.builds(
                lambda number, value: varint(number << 3 | 3) + value + varint(number << 3 | 4),
                numbers,
                inner,
            ),
        ),
        max_size=4,
    ).map(b"".join),
    max_leaves=12,
)
spoilt = st.builds(
    lambda message, at, octets: (
        message[: at % (len(message) + 1)] + octets + message[at % (len(message) + 1) :]
    ),
    messages,
    st.integers(0, 200),
    st.binary(min_size=1, max_size=3),
)


def outcome(message: bytes) -> str | None:
    """What our reader finds; None if it refuses."""
    try:
        return read_certificate(message)
    except MalformedInput as error:
        return {"check-malformed": None}[error.code]


def judged(message: bytes) -> str | None:
    """What protobuf finds; None if it refuses."""
    try:
        return CheckRequest.FromString(message).attributes.source.certificate
    except DecodeError:
        return None


@given(messages | spoilt | st.binary(max_size=60))
@example(sized(1, sized(1, sized(5, b"first")) + sized(1, sized(5, b"last"))))
@example(sized(1, sized(1, sized(5, b"kept"))) + sized(1, sized(1, b"")))
@example(sized(1, sized(1, sized(5, b"a") + sized(5, b""))))
@example(sized(1, sized(1, sized(5, b"\xff") + sized(5, b"good"))))
@example(b"\x0b" * 100 + b"\x0c" * 100)
@example(b"\x0b" * 101 + b"\x0c" * 101)
@example(b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x8a\x80\x80\x80\x00\x00")
@example(b"\x8a\x80\x80\x80\x80\x00\x00")
@example(b"\x8a\x80\x80\x80\x10\x00")
@example(b"\x02\x00")
@example(b"\x0c")
@example(b"\x0b\x00\x00\x0c")
def test_the_certificate_is_the_one_that_protobuf_finds(message: bytes) -> None:
    """Both find the same, or both refuse."""
    assert outcome(message) == judged(message)

"""Header blocks are decoded as the library `hpack` decodes them, with and without the dynamic table."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HPACKError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import example, given
from hypothesis import strategies as st

from doorward.gateway.authorizer.http2.errors import ConnectionFailed
from doorward.gateway.authorizer.http2.frames import ErrorCode
from doorward.gateway.authorizer.http2.header_blocks import FieldMemo, HeaderDecoder
from doorward.gateway.authorizer.http2.huffman import NotHuffman, decode_huffman

LIST_BYTES = 1 << 16
names = st.sampled_from([":path", ":method", "te", "x-doorward-application", "content-type", "x"]) | st.text(
    "abcxyz-", min_size=1, max_size=200
)
values = st.sampled_from(["", "POST", "/", "trailers", "app_pay"]) | st.text(
    st.characters(max_codepoint=255), max_size=300
)
fields = st.lists(st.tuples(names, values, st.booleans()), max_size=8)
blocks = st.lists(st.tuples(fields, st.booleans(), st.sampled_from([None, None, 0, 100, 4096])), max_size=5)


def ours(decoder: HeaderDecoder, block: bytes) -> list[tuple[bytes, bytes]] | None:
    """What our decoder finds; None if it refuses."""
    try:
        found = decoder.decode(block)
    except ConnectionFailed as failure:
        return {ErrorCode.COMPRESSION_ERROR: None}[failure.code]
    assert found is not None
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value, _ in found]


def theirs(decoder: Decoder, block: bytes) -> list[tuple[bytes, bytes]] | None:
    """What the library finds; None if it refuses."""
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except HPACKError:
        return None


@given(blocks, st.sampled_from([1, 2]))
def test_what_an_encoder_makes(
    made: list[tuple[list[tuple[str, str, bool]], bool, int | None]], times: int
) -> None:
    """Fields come out as they went in, however the encoder keeps them; also from the memo."""
    memo = FieldMemo(most=8)
    for _ in range(times):
        encoder, decoder = Encoder(), HeaderDecoder(memo, LIST_BYTES)
        for pairs, huffman, size in made:
            if size is not None:
                encoder.header_table_size = size
            octets = [(name.encode(), value.encode("latin-1"), secret) for name, value, secret in pairs]
            block = encoder.encode(octets, huffman=huffman)
            assert ours(decoder, block) == [(name, value) for name, value, _ in octets]


pieces = st.one_of(
    st.binary(max_size=6),
    st.integers(0x80, 0xFF).map(lambda octet: bytes((octet,))),
    st.builds(
        lambda kind, name, value: bytes((kind, len(name))) + name + bytes((len(value),)) + value,
        st.sampled_from([0x40, 0x00, 0x10]),
        st.binary(min_size=1, max_size=5),
        st.binary(max_size=5),
    ),
    st.builds(
        lambda kind, text: bytes((kind, 0x80 | len(text))) + text + b"\x01v",
        st.sampled_from([0x40, 0x00, 0x10]),
        st.binary(min_size=1, max_size=5),
    ),
    st.integers(0x20, 0x3E).map(lambda octet: bytes((octet,))),
)


@given(st.lists(st.lists(pieces, max_size=8).map(b"".join), min_size=1, max_size=4))
@example([b"\x40\x01a\x01b\xbe", b"\xbe", b"\x20", b"\xbe"])
@example([b"\x40\x01a\x01b", b"\x7e\x01c", b"\x7e\x01c\xbe\xbf"])
@example([b"\x00\x01a\x01"])
@example([b"\x80"])
@example([b"\x82\x20"])
@example([b"\x3f\xe2\x1f\x82"])
@example([b"\xff\x80\x80\x80\x80\x80\x00"])
def test_any_octets(parts: list[bytes]) -> None:
    """Both find the same, or both refuse."""
    memo = FieldMemo()
    decoder, library = HeaderDecoder(memo, LIST_BYTES), Decoder(LIST_BYTES)
    library.max_allowed_table_size = 4096
    for block in parts:
        found = ours(decoder, block)
        assert found == theirs(library, block)
        if found is None:
            return


@given(st.binary(max_size=40))
def test_huffman_texts_come_back(text: bytes) -> None:
    """What the library codes is decoded."""
    assert decode_huffman(HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)) == text


@pytest.mark.parametrize("coded", [b"\xff\xff\xff\xff", b"\xff", b"\x1f\xff", b"\x18", b"\xff\xff\xff\xfc"])
def test_what_is_no_huffman_text(coded: bytes) -> None:
    """EOS, padding of eight bits, and padding that is not a prefix of EOS (RFC 7541 section 5.2)."""
    with pytest.raises(NotHuffman):
        decode_huffman(coded)


class TestTable:
    """The dynamic table until the peer knows that we have none, and after."""

    def test_it_must_be_given_up(self) -> None:
        """After our settings were acknowledged the next block begins with size 0 (section 4.2)."""
        decoder = HeaderDecoder(FieldMemo(), LIST_BYTES)
        assert ours(decoder, b"\x40\x01a\x01b\xbe") == [(b"a", b"b")] * 2
        decoder.forbid_table()
        assert ours(decoder, b"\x20\x40\x01a\x01b") == [(b"a", b"b")]
        assert ours(decoder, b"\xbe") is None

    @pytest.mark.parametrize("block", [b"\xbe", b"\x82", b"\x21\x82", b""])
    def test_one_that_is_not_given_up(self, block: bytes) -> None:
        """It ends the connection."""
        decoder = HeaderDecoder(FieldMemo(), LIST_BYTES)
        assert ours(decoder, b"\x40\x01a\x01b") == [(b"a", b"b")]
        decoder.forbid_table()
        assert ours(decoder, block) is None

    def test_a_field_with_a_name_of_the_table_is_not_remembered(self) -> None:
        """The same octets are another field later."""
        memo = FieldMemo()
        decoder = HeaderDecoder(memo, LIST_BYTES)
        assert ours(decoder, b"\x40\x01a\x01v\x7e\x01c") == [(b"a", b"v"), (b"a", b"c")]
        other = HeaderDecoder(memo, LIST_BYTES)
        assert ours(other, b"\x40\x01b\x01v\x7e\x01c") == [(b"b", b"v"), (b"b", b"c")]

    def test_a_list_that_is_too_long(self) -> None:
        """It is not returned, and what it put into the table stays; small references make no large list."""
        decoder = HeaderDecoder(FieldMemo(), 1000)
        assert decoder.decode(b"\x40\x01a\x7f\x81\x06" + b"v" * 896 + b"\xbe" * 60_000) is None
        found = decoder.decode(b"\xbe")
        assert found is not None
        assert found[0][:2] == ("a", "v" * 896)


def test_the_memo_is_bounded() -> None:
    """Neither many fields nor long ones fill the memory."""
    memo = FieldMemo(most=10, longest=50)
    decoder = HeaderDecoder(memo, LIST_BYTES)
    encoder = Encoder()
    for number in range(100):
        decoder.decode(encoder.encode([(f"name-{number}", f"value-{number}"), (f"n{'x' * 60}{number}", "y")]))
        assert len(memo.fields) <= 10
    assert all(len(octets) <= 50 for octets in memo.fields)

"""Header blocks are decoded as the library `hpack` decodes them, with and without the dynamic table."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HPACKError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import example, given
from hypothesis import strategies as st

from doorward.gateway.authorizer.http2.errors import ConnectionFailed
from doorward.gateway.authorizer.http2.fields import FieldKind
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


texts = st.text("abc", min_size=1, max_size=3)
same = st.lists(st.tuples(texts, texts), max_size=4)


@given(
    begin=same,
    rest=st.lists(st.tuples(st.integers(0, 4), same), min_size=2, max_size=6),
    huffman=st.booleans(),
)
def test_blocks_that_begin_alike(
    begin: list[tuple[str, str]], rest: list[tuple[int, list[tuple[str, str]]]], *, huffman: bool
) -> None:
    """Without a table, blocks may begin with the same fields, with some of them, or with others: each gives what the library finds."""
    encoder, library = Encoder(), Decoder(LIST_BYTES)
    decoder = HeaderDecoder(FieldMemo(most=8, changing={"a"}), LIST_BYTES)
    encoder.header_table_size = 0
    for count, others in rest:
        block = encoder.encode([*begin[:count], *others], huffman=huffman)
        assert ours(decoder, block) == theirs(library, block)


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


class TestBegin:
    """The fields with which the blocks of a peer begin."""

    BEGIN = b"\x20\x00\x01a\x01b", b"\x00\x01a\x01b\x00\x01n\x01"

    def decoder(self, list_bytes: int = LIST_BYTES) -> HeaderDecoder:
        """A decoder that has read two blocks that begin with the same field."""
        decoder = HeaderDecoder(FieldMemo(changing={"n"}), list_bytes)
        decoder.forbid_table()
        assert ours(decoder, self.BEGIN[0]) == [(b"a", b"b")]
        for value in (b"1", b"2"):
            assert ours(decoder, self.BEGIN[1] + value) == [(b"a", b"b"), (b"n", value)]
        return decoder

    def test_a_returned_list_is_not_shared(self) -> None:
        """What a caller does with the fields of one block changes no later one."""
        decoder = self.decoder()
        first = decoder.decode(self.BEGIN[1] + b"3")
        assert first is not None
        first.clear()
        assert ours(decoder, self.BEGIN[1] + b"4") == [(b"a", b"b"), (b"n", b"4")]

    def test_they_count(self) -> None:
        """A list that is too long is refused, however it begins."""
        decoder = self.decoder(2 * 34 + 10)
        assert decoder.decode(self.BEGIN[1] + b"3" + b"\x00\x01c\x01d") is None

    def test_a_block_that_ends_within_them(self) -> None:
        """It is refused as any block that ends within a field."""
        assert ours(self.decoder(), self.BEGIN[1][:4]) is None

    def test_a_size_of_the_table_may_come_first(self) -> None:
        """A block that begins by giving up the table again has the same fields behind it."""
        decoder = self.decoder()
        assert ours(decoder, b"\x20" + self.BEGIN[1] + b"5") == [(b"a", b"b"), (b"n", b"5")]
        assert ours(decoder, b"\x21" + self.BEGIN[1] + b"5") is None

    def test_they_are_put_into_a_table(self) -> None:
        """What was learned without a table is not used with one: the peer counts on each entry of its table."""
        decoder = HeaderDecoder(FieldMemo(changing={"n"}), LIST_BYTES)
        for block in (
            b"\x20\x40\x01a\x01b",
            b"\x40\x01a\x01b\x00\x01n\x011",
            b"\x40\x01a\x01b\x00\x01n\x012",
        ):
            assert ours(decoder, block) is not None
        assert ours(decoder, b"\x3f\xe1\x1f") == []
        assert ours(decoder, b"\x40\x01a\x01b\x00\x01n\x013") == [(b"a", b"b"), (b"n", b"3")]
        assert ours(decoder, b"\xbe") == [(b"a", b"b")]

    def test_sizes_of_the_table_are_none(self) -> None:
        """A size that was allowed once is judged each time that it is sent."""
        decoder = HeaderDecoder(FieldMemo(changing={"n"}), LIST_BYTES)
        block = b"\x3f\xe1\x1f\x20\x00\x01a\x01b\x00\x01n\x01"
        for value in (b"1", b"2"):
            assert ours(decoder, block + value) == [(b"a", b"b"), (b"n", value)]
        decoder.forbid_table()
        assert ours(decoder, block + b"3") is None

    def test_entries_of_a_table_are_none(self) -> None:
        """A reference to an entry means something else later, and nothing once the table was given up."""
        decoder = HeaderDecoder(FieldMemo(changing={"n"}), LIST_BYTES)
        for block in (b"\x40\x01a\x01b", b"\xbe\x00\x01n\x011", b"\xbe\x00\x01n\x012", b"\x20"):
            assert ours(decoder, block) is not None
        assert ours(decoder, b"\xbe\x00\x01n\x013") is None


@pytest.mark.parametrize("field", [b"\x0f\x10\x01v", b"\x1f\x10\x01v", b"\x04\x01v", b"\x00\x01n\x01v"])
def test_a_known_field_is_not_decoded_again(field: bytes) -> None:
    """The memo finds a field by its octets, also one of which the name is a number of two octets."""
    memo = FieldMemo()
    decoder = HeaderDecoder(memo, LIST_BYTES)
    assert decoder.decode(b"\x20" + field) is not None
    memo.fields[field] = ("known", "before", FieldKind.METADATA)
    assert ours(decoder, field + b"\x00\x01z\x01z" * 5) == [(b"known", b"before"), *[(b"z", b"z")] * 5]


def test_values_that_change_are_not_remembered() -> None:
    """Fields with another value in each call push no other one out of the memo."""
    memo = FieldMemo(most=3, changing={"n"})
    decoder, encoder = HeaderDecoder(memo, LIST_BYTES), Encoder()
    encoder.header_table_size = 0
    for number in range(20):
        decoder.decode(encoder.encode([("a", "b"), ("n", str(number)), ("c", "d")]))
    assert sorted(name for name, _, _ in memo.fields.values()) == ["a", "c"]


def test_the_memo_is_bounded() -> None:
    """Neither many fields nor long ones fill the memory."""
    memo = FieldMemo(most=10, longest=50)
    decoder = HeaderDecoder(memo, LIST_BYTES)
    encoder = Encoder()
    for number in range(100):
        decoder.decode(encoder.encode([(f"name-{number}", f"value-{number}"), (f"n{'x' * 60}{number}", "y")]))
        assert len(memo.fields) <= 10
    assert all(len(octets) <= 50 for octets in memo.fields)

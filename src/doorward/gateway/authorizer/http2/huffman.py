"""The Huffman code of HPACK, decoded octet by octet.

A state is a place in the tree of the code. What an octet does in a state is worked out once and kept: the texts of our
calls need a few hundred steps, and there are 256 states, so at most 65,536 steps.
Standard: RFC 7541 section 5.2 and appendix B (the table is that of the library `hpack`).
"""

from __future__ import annotations

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

_EOS = 256
_LONGEST_PADDING = 7
_ROOT = 0

_Node = list[int]  # for the bits 0 and 1: a further node, or the complement of a symbol


class NotHuffman(ValueError):
    """The octets are no Huffman-coded text."""


def _build_tree() -> tuple[list[_Node], dict[int, int]]:
    """Return the tree, and the nodes at which a text may end with how many bits of padding."""
    tree: list[_Node] = [[0, 0]]
    for symbol, (code, length) in enumerate(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)):
        node = _ROOT
        for place in range(length - 1, 0, -1):
            bit = code >> place & 1
            if not tree[node][bit]:
                tree.append([0, 0])
                tree[node][bit] = len(tree) - 1
            node = tree[node][bit]
        tree[node][code & 1] = ~symbol
    ends, node = {}, _ROOT
    for bits in range(_LONGEST_PADDING + 1):  # the padding is a prefix of EOS: bits that are 1
        ends[node] = bits
        node = tree[node][1]
    return tree, ends


_TREE, _ENDS = _build_tree()
_steps: dict[int, tuple[bytes, int]] = {}


def decode_huffman(data: bytes) -> bytes:
    """Return the text.

    Raises:
        NotHuffman: the text has EOS in it, or its padding is not a prefix of EOS, or longer than seven bits.
    """
    node, parts = _ROOT, []
    for octet in data:
        step = _steps.get(node << 8 | octet)
        if step is None:
            step = _steps[node << 8 | octet] = _walk(node, octet)
        part, node = step
        parts.append(part)
    if node not in _ENDS:
        raise NotHuffman
    return b"".join(parts)


def _walk(node: int, octet: int) -> tuple[bytes, int]:
    symbols = bytearray()
    for place in range(7, -1, -1):
        node = _TREE[node][octet >> place & 1]
        if node < 0:
            if ~node == _EOS:
                raise NotHuffman
            symbols.append(~node)
            node = _ROOT
    return bytes(symbols), node

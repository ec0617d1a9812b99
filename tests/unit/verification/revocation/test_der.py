"""Elements of DER, one by one."""

from __future__ import annotations

import pytest

from doorward.verification.revocation.der import (
    INTEGER,
    SEQUENCE,
    MalformedDer,
    read_extensions,
    read_whole,
    render_dotted,
    render_element,
)


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 65_536])
def test_lengths_come_back(size):
    """Short and long ones: X.690 section 8.1.3."""
    element = read_whole(render_element(SEQUENCE, bytes(size)))
    assert (element.tag, element.value) == (SEQUENCE, bytes(size))
    assert element.whole == render_element(SEQUENCE, bytes(size))


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x01",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x7f" + bytes(127),
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x85\x01\x00\x00\x00\x00",
        b"\x30\x82\x01",
        b"\x3f\x1f\x00",
        b"\x30\x00\x00",
    ],
)
def test_other_bytes_are_unreadable(der):
    """No length, none of DER, one beyond the end, a tag in several octets, bytes after it (X.690 section 10.1)."""
    with pytest.raises(MalformedDer):
        read_whole(der)


def test_one_element_and_no_more():
    """An explicit tag contains exactly one element."""
    number = render_element(INTEGER, b"\xff\x00")
    assert read_whole(render_element(0xA0, number)).only_child().read_integer() == -256
    for content in (b"", number + number):
        with pytest.raises(MalformedDer):
            read_whole(render_element(0xA0, content)).only_child()
    with pytest.raises(MalformedDer):
        read_whole(number).require(SEQUENCE)


@pytest.mark.parametrize(
    ("octets", "dotted"),
    [
        ("551d15", "2.5.29.21"),
        ("2b0e03021a", "1.3.14.3.2.26"),
        ("2b0601040183b33a851a01", "1.3.6.1.4.1.55738.666.1"),
        ("09922689", "0x09922689"),
        ("", "0x"),
        ("8837", "2.999"),
        ("01" * 65, "0x" + "01" * 64),
    ],
)
def test_object_identifiers_are_shown(octets, dotted):
    """X.690 section 8.19; a malformed one is shown in hexadecimal digits."""
    assert render_dotted(bytes.fromhex(octets)) == dotted


@pytest.mark.parametrize(
    ("flag", "critical"), [("", False), ("0101ff", True), ("010101", True), ("010100", False)]
)
def test_whether_an_extension_is_critical(flag, critical):
    """Even if it is not written as DER requires: every value but zero is true."""
    der = render_element(SEQUENCE, bytes.fromhex("0603551d15"), bytes.fromhex(flag), b"\x04\x00")
    (extension,) = read_extensions(read_whole(render_element(SEQUENCE, der)))
    assert (extension.oid.hex(), extension.critical, extension.value) == ("551d15", critical, b"")

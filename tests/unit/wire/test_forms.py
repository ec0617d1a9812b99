"""Bodies of forms."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.forms import MAX_FIELDS, MAX_FORM_BYTES, parse_form


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"a=1&b=x+y%20z&&c", {"a": "1", "b": "x y z", "c": ""}),
        ("n=%C3%A4ä".encode(), {"n": "ää"}),
        (b"a=b=c", {"a": "b=c"}),
    ],
)
def test_fields(body: bytes, fields: dict[str, str]) -> None:
    """Percent signs and plus signs are decoded, once."""
    assert parse_form(body) == fields


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=2",
        b"a=%ff",
        b"a=" + b"b" * MAX_FORM_BYTES,
        b"&".join(b"%d=" % one for one in range(MAX_FIELDS + 1)),
    ],
)
def test_what_is_no_form_of_ours(body: bytes) -> None:
    """A name twice, other bytes than UTF-8, too much of it."""
    with pytest.raises(MalformedInput) as refused:
        parse_form(body)
    assert refused.value.code == "form-malformed"

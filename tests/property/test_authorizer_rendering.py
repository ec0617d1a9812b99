"""What the authorizer answers is the protobuf message that Envoy reads; protobuf's own library is the judge."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from doorward.gateway.authorizer.rendering import REFUSAL, render_answer, render_last, render_prefix
from tests.support.ext_authz_pb2 import CheckResponse

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.integers(100, 70_000).map(
    lambda size: "x" * size
)
facts_of_any_kind = st.dictionaries(texts, texts, max_size=8)


def read(answer: bytes) -> dict[str, str]:
    """The facts of an answer that admits."""
    response = CheckResponse.FromString(answer)
    assert response.HasField("status")
    assert (response.status.code, response.status.message) == (0, "")
    fields = response.dynamic_metadata.fields
    assert all(fields[name].HasField("string_value") for name in fields)
    return {name: fields[name].string_value for name in fields}


@given(facts_of_any_kind)
def test_every_fact_is_read_as_a_string(facts: Mapping[str, str]) -> None:
    """All facts arrive, empty ones and long ones too, and nothing else does."""
    assert read(render_answer(facts)) == facts


@given(facts_of_any_kind, texts, texts)
def test_a_last_fact_is_added(facts: Mapping[str, str], name: str, value: str) -> None:
    """A prefix that is kept and one more fact make a whole answer; the last of two with one name counts."""
    prefix = render_prefix(facts)
    assert read(render_last(prefix, name, value)) == {**facts, name: value}
    assert render_last(prefix, name, value) == render_last(render_prefix(facts), name, value)


def test_the_bytes_are_those_of_protobuf() -> None:
    """A message with one fact has one form; the admission says OK in so many octets."""
    response = CheckResponse()
    response.status.code = 0
    response.dynamic_metadata.fields["principal"].string_value = "person/alice"
    assert render_answer({"principal": "person/alice"}) == response.SerializeToString()


def test_a_refusal_has_a_code_alone() -> None:
    """PERMISSION_DENIED, and no word more."""
    response = CheckResponse()
    response.status.code = 7
    assert response.SerializeToString() == REFUSAL

"""Targets of the fuzzer in what browsers send to the surfaces for people: cookies and forms."""

from __future__ import annotations

from doorward.wire.cookies import parse_cookie
from doorward.wire.forms import parse_form
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target


def _cookies() -> Harness:
    def judge(data: bytes) -> object:
        fields = data.decode("latin-1").split("\n")
        return len(parse_cookie(fields, "__Host-doorward-session"))

    return Harness(
        seeds=(b"__Host-doorward-session=a.b.c; theme=dark\nother=1", b"__Host-doorward-session=a"),
        judge=judge,
    )


def _forms() -> Harness:
    def judge(data: bytes) -> object:
        return len(parse_form(data))

    return Harness(
        seeds=(b"password=correct+horse&again=%C3%A4", b"code=123456&credential=%7B%7D"), judge=judge
    )


WEB_TARGETS = (
    Target(name="cookies", covers=("wire.cookies.parse_cookie",), shape=Shape.TEXT, prepare=_cookies),
    Target(name="forms", covers=("wire.forms.parse_form",), shape=Shape.TEXT, prepare=_forms),
)

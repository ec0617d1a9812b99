"""What to do about a refusal."""

from __future__ import annotations

import pytest

from doorward.runtime.advice import advise


def test_a_reason_has_a_command_that_mends_it() -> None:
    """With the name and the certificate, as far as they are known."""
    assert "doorward person resume alice" in advise(["principal-suspended"], status=403, name="alice")[0]
    assert (
        "doorward cert release crt_1" in advise(["certificate-on-hold"], status=403, certificate="crt_1")[0]
    )
    assert "doorward invite NAME" in advise(["certificate-missing"], status=403)[0]
    assert "doorward status" in advise(["application-closed"], status=503)[0]


def test_a_name_is_quoted_for_the_shell() -> None:
    """What stands in a command is pasted."""
    assert "resume 'a b;c'" in advise(["principal-suspended"], status=403, name="a b;c")[0]


def test_good_reasons_need_nothing() -> None:
    """Only what spoke against it has an advice, and the rules are asked last."""
    found = advise(["issuer-known", "no-allow-rule"], status=403, explained="doorward policy explain …")
    assert found == ("what the present rules say: doorward policy explain …",)


@pytest.mark.parametrize("status", [302, 401])
def test_a_missing_factor_is_no_missing_rule(status: int) -> None:
    """Envoy answers so only if a second factor would have let the request pass."""
    assert "second factor" in advise(["no-allow-rule"], status=status)[0]

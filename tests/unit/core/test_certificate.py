"""The words for a certificate's states and reasons."""

from __future__ import annotations

from cryptography import x509

from doorward.core.certificate import RevocationReason


def test_reason_codes_are_those_of_the_standard():
    """RFC 5280 section 5.3.1 numbers them; 7 and 8 are not ours."""
    assert [reason.code for reason in RevocationReason] == [0, 1, 2, 3, 4, 5, 6, 9, 10]


def test_reason_words_agree_with_the_library():
    """Each word is the library's, in kebab form."""
    theirs = {flag.name.replace("_", "-") for flag in x509.ReasonFlags}
    assert {reason.value for reason in RevocationReason} <= theirs

"""WebAuthn: passkeys with user verification, bound to exactly the portal's host.

`options` builds the options for the browser; `answers` parses its answers; `keys` has the accepted public keys; `checking`
checks a registration and an authentication.
Standard: W3C Web Authentication Level 3, sections 7.1 and 7.2.
"""

from doorward.factors.webauthn.answers import (
    AuthenticationAnswer,
    RegistrationAnswer,
    parse_authentication,
    parse_registration,
)
from doorward.factors.webauthn.checking import check_authentication, check_registration
from doorward.factors.webauthn.keys import Passkey, parse_passkey, render_passkey
from doorward.factors.webauthn.options import (
    CHALLENGE_BYTES,
    RelyingParty,
    build_authentication_options,
    build_registration_options,
)

__all__ = [
    "CHALLENGE_BYTES",
    "AuthenticationAnswer",
    "Passkey",
    "RegistrationAnswer",
    "RelyingParty",
    "build_authentication_options",
    "build_registration_options",
    "check_authentication",
    "check_registration",
    "parse_authentication",
    "parse_passkey",
    "parse_registration",
    "render_passkey",
]

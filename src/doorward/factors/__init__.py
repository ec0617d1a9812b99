"""Second factors: password, TOTP, WebAuthn, recovery codes, throttling, and the session that is bound to a certificate.

Everything here is pure: time, randomness and stored values are arguments. Stored factors and counts are in
`directory.factors`.
"""

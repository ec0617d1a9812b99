"""Second factors: password, TOTP, WebAuthn, recovery codes, throttling, and the session that is bound to a certificate.

Everything here is pure: time, randomness and what is stored come as arguments. Who has which factor, and what an
attempt changes, is `directory.factors`.
"""

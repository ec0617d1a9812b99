"""EST (RFC 7030): devices get and renew certificates with clients that are in their firmware already.

Who a client is, by what it showed (`enrolling`):
    simpleenroll    a one-time token as Basic: the user name is the principal's name, the password is the token
                    a certificate of a manufacturer (directory.fleets), shown in TLS
    simplereenroll  a certificate of ours, shown in TLS
    serverkeygen    a one-time token, for devices only, if the setting allows it
Of a request only the key counts: its names, extensions and attributes are not read (pki.csr). The content of a certificate
comes from the claim (docs/design/0057), so that nothing can be smuggled in.

Not here: HTTP and its limits (web.est), bytes (wire.est), the door in front of it (enforcement), the rules (docs/design/0080).
Standard: RFC 7030, updated by RFC 8951.
"""

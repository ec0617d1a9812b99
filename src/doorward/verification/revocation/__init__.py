"""Revocation: what CRLs and OCSP responses say about a certificate: good, revoked or undetermined."""

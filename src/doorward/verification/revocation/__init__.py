"""Revocation: what CRLs and OCSP answers say of a certificate, in three values."""

"""Certification paths: built from the leaf to a trust anchor, and validated by RFC 5280 section 6.1."""

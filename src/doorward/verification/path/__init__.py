"""Certification paths: built from what is trusted, validated as RFC 5280 section 6.1 asks."""

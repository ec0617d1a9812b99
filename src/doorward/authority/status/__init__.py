"""Certificate status for relying parties: OCSP responses and CRLs (RFC 6960, RFC 5280 section 5)."""

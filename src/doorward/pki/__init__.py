"""Floor 2: makes certificates, CRLs and OCSP responses."""

"""Floor 2: the maker of certificates, revocation lists and OCSP answers."""

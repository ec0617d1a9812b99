"""Fetching CRLs and OCSP answers of partners from the network, within limits."""

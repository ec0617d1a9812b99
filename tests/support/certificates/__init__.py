"""The one certification authority of the tests: right by default, wrong on purpose if asked.

- `issuing`: a certificate with its key, which issues further ones;
- `status`: CRLs and OCSP answers; `status_der`: the same, octet by octet;
- `der`: DER by hand, for what no library writes;
- `judging`: what the product says about all of these;
- `chains`: chains from a description with named faults, for hypothesis.

Nothing here uses the product's own minting: the checker's tests must not depend on the maker.
"""

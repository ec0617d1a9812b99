"""The store Protocols of `authority.stores` over SQL, one module for each group of them."""

"""The store Protocols of `stores.protocols` over SQL, one module for each group of them."""

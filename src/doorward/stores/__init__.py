"""The records, the store Protocols, and the checks that every use case begins with."""

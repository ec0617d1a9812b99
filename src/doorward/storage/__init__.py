"""Floor 5: SQL and key material behind the Protocols of the floors below.

database      files, connections, transactions; the only place that knows SQLite
schema        every table; `migrations` brings a file to it
unit_of_work  `stores.protocols.UnitOfWork` over `repositories`
event_store   `audit.log.EventStore`
keystore      `core.ports.KeyStore`: encrypted files
"""

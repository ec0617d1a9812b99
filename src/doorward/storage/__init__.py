"""Floor 5: SQL and key material behind the Protocols of the floors below.

backend       what a database is to this room; `sqlite` is one kind, `opening` chooses
schema        every table; `migrations` brings a database to it
unit_of_work  `stores.protocols.UnitOfWork` over `repositories`
event_store   `audit.log.EventStore`
keystore      `core.ports.KeyStore`: encrypted files
"""

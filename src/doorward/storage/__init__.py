"""Floor 5: SQL and key material behind the Protocols of the floors below.

backend       the interface of a database; `sqlite` and `postgresql` implement it, `opening` chooses one
schema        every table; `migrations` brings a database to it
unit_of_work  `stores.protocols.UnitOfWork` over `repositories`
event_store   `audit.log.EventStore`
keystore      `core.ports.KeyStore`: encrypted files
"""

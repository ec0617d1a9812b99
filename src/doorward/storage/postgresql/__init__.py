"""Floor 5: a PostgreSQL database behind `storage.backend` (docs/design/0056).

connecting    the address, and opening one connection
faults        translates the driver's errors
server        the common part of `database` and `one_shot`, with the lock that allows one change at a time
database      connection pools, for the roles
one_shot      one transaction after another, for a process of one command
requirements  checks that a database can hold an installation
core_view     the parts that need SQLAlchemy; `one_shot` and others import it through `lazy`
catalogue     checks the schema, as the database's own catalogue shows it
listening     LISTEN, so that a follower need not wait for its next poll

Everything that imports psycopg is in this folder, because the package is optional (`doorward[postgresql]`).
"""

"""Floor 5: a PostgreSQL database behind `storage.backend` (docs/design/0056).

connecting  its address, and one connection to it
faults     what the driver raised, in words of ours
server     what every use of one has in common, the lock that lets one change at a time commit among it
database   pools of connections, for the roles
one_shot   one transaction after another, for a process of one command
requirementswhether an empty database is fit to hold an installation
core_view  what needs SQLAlchemy, for `one_shot` and for the rest by `lazy`
catalogue  its schema, as the database's own catalogue shows it
listening  LISTEN, so that a follower need not wait for its next poll

Everything that imports psycopg is in this folder: the package is optional (`doorward[postgresql]`).
"""

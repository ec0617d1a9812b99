"""Floor 5: a SQLite file behind the storage's interface.

file           the file, and what every connection to it is told
database       pools of connections, for the roles
one_shot       one transaction after another, for a process of one command
write_lock     a fair lock between the processes that write
reserve        room for withdrawals on a disk that is full
faults         what the driver raised, in words of ours
schema_check   whether the file has the schema of this program and nothing else; `schema_digest` tells it fast
"""

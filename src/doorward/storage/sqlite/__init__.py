"""Floor 5: a SQLite file behind `storage.backend`.

file           the file, and the settings of every connection
database       pools of connections, for the roles
one_shot       one transaction after another, for a process of one command
data_version   whether anything was committed since the last look
write_lock     a fair lock between the processes that write
reserve        disk space that is reserved for withdrawals
faults         translates the driver's errors
schema_check   checks that the file has exactly the schema of this program; `schema_digest` is the fast check
"""

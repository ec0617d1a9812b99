"""Floor 4: enrolment protocols without sockets and SQL, on top of the use cases."""

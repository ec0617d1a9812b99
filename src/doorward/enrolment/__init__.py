"""Floor 4: enrolment protocols as machines without sockets or SQL, on top of the use cases."""

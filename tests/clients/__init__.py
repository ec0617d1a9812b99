"""Other people's enrolment clients against a live Doorward: `make clients`.

attempts    what an attempt is, and how its result is told
est         EST clients (RFC 7030): curl with openssl, strongSwan, pest
__main__    opens a door, runs every attempt, prints a line for each
"""

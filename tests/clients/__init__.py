"""Other people's enrolment clients against a live Doorward: `make clients`.

attempts    what an attempt is, and how its result is told
est         EST clients (RFC 7030): curl with openssl, strongSwan, Bouncy Castle, libest, pest
    acme        ACME authorities (RFC 8555) that certify hosts of the door: pebble
__main__    opens a door, runs every attempt, prints a line for each
"""

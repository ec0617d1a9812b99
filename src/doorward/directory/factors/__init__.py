"""Second factors of persons: enrolling, checking and removing them, over the stores.

`enrolment_tickets` who may enrol a first factor: a certificate just issued, an administrator's invitation, a recovery code
`change_rules`  when a person may change factors: with a ticket, or after a fresh check that is strong enough
`enrolling`   adding and replacing; `removing` removing, renaming, resetting; `recovering` after a recovery code
`checking`    a factor is shown: throttled, recorded, and never told why it failed
`passkeys`    the two halves of WebAuthn: what the browser is asked, and its answer
`context`     what all of these need beside the services
`attempts`    counts of tries in the store; `failure_events` which failures are events; `budget` how many password hashes at
              once; `pending` what was asked
"""

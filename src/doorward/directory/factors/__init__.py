"""Second factors of persons: enrolling, checking and removing them, over the stores.

`enrolment_tickets`  tickets for a factor: by a certificate just issued, an administrator's link, or a recovery code
`change_rules`       when a person may change factors: with a ticket, or after a fresh check that is strong enough
`enrolling`          adding and replacing; `removing` listing, removing, resetting; `recovering` after a recovery code
`checking`           checking a factor: throttled and recorded; the person does not learn why a check failed
`passkeys`           WebAuthn ceremonies: the options for the browser, and its answer
`context`            the dependencies of these modules
`attempts`           counts of tries in the store; `failure_events` limits on events; `budget` the limit of password hashes
`pending`            challenges and secrets that wait for an answer
"""

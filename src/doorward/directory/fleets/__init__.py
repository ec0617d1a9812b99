"""Device fleets: manufacturers, just-in-time registration of their devices, approval.

manufacturers  import, list and remove the authorities of a manufacturer
judging        is this a good certificate of one of its factories
admission      what a device with such a certificate gets: nothing yet, a claim to one certificate, or a refusal
states         the states of an enrolment, as a table
approving      the operator's part: list, approve, refuse

Standard: IEEE 802.1AR-2018; RFC 7030 section 3.3.2; docs/design/0081.
"""

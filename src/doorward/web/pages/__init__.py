"""Pages of the door: what a person reads if the door says no, and what a program reads in its place.

Not here: why it says no (`access`, `enforcement`), and how pages look (`web.look`).
"""

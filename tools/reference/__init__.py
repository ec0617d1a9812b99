"""The reference pages that are made from the program itself, so that they cannot drift from it.

    python -m tools.reference            write docs/reference/{commands,settings,events}.md
    python -m tools.reference --check    exit with 1 where a page is not what the program says

Not here: pages that people write (docs/reference/policy.md and so on).
"""

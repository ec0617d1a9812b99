"""python -m bench: run every measurement and print its table."""

from __future__ import annotations

from bench import evidence, issuing, judge, sessions

if __name__ == "__main__":
    judge.main()
    sessions.main()
    issuing.main()
    evidence.main()

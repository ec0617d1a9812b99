"""Pages of the door about refused requests: an HTML page for people, a problem document for programs.

Not here: the decision (`access`, `enforcement`), and templates (`web.look`).
"""

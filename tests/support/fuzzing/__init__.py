"""Fuzzing of every parser that a peer, a partner or a file from outside can reach.

targets     the table: which parsers, with which inputs to begin with
mutating    how broken inputs are made
engine      the search, its limits, and what it holds of every input
__main__    one target in a process of its own, and the replay of an input
"""

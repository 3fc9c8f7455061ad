"""Benchmarks: named sections of lines, all sides of a comparison in one process, on the same batches, in alternating rounds.

A ratio is the median over rounds of the ratio within a round, so that a temporary slowdown of the machine affects every side.
`registry.py` lists the sections, `command.py` is the verb, and `record.py` and `page.py` store the measurements.
"""

"""Training: the arithmetic of a run, and nothing else.

The code of this package decides the numbers of a run, so it is part of the identity of every run that executes it
(`pipeline/identity.py`). Messages, readers, tracking and the choice of a device have modules of their own.
"""

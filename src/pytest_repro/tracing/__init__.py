"""Watch the code under test during a run, and leave a trace of the values that each statement changed.

Imports none of its modules: the rule for user code is asked where nothing is watched.
"""

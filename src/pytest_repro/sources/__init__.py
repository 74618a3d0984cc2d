"""Sources of irreproducibility: one file for each, and the mechanisms that they share.

They are noted and pinned in a child by hidden conditions, which are applied like axes under names that no argument of a
test can have.
"""

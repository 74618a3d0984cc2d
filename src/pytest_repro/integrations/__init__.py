"""Integrations for libraries that train, configure and track: one public module for each, imported by the user.

Each module imports its library, and names the extra if it is missing. Nothing else in the package imports from here.
"""

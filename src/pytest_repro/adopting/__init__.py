"""Help to begin with the plugin in a project: what `pytest-repro doctor` looks at, and what `pytest-repro init` writes.

Nothing here imports or runs the project's code: its source is parsed, its configuration is read.
"""

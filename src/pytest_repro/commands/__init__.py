"""The subcommands of ``pytest-repro``, one module for each subject."""

"""Find the release of a package, or the commit, that changed a test's result."""

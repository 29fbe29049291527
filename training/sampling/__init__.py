"""Which examples a batch holds: pure functions with explicit generators."""

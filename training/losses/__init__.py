"""Loss functions, pure and without state: one file per paper's family."""

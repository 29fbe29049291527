"""One recipe per file: a ``Config`` and a ``train(data, run, config)``, read in execution order."""

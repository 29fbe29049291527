"""How fast a model runs here: calls, their stages, cold starts, batches and clients, in numbers that can be trusted."""

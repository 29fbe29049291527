"""Training of the engine's models: data sets, networks and one recipe per published method.

Everything made here leaves through ``training.export`` and is scored through ``engine``.
"""

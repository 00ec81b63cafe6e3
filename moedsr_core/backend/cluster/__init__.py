"""Jobs as actors on a Ray cluster.

The server joins no cluster itself, since Ray ends a program whose cluster is gone for a minute
(measured: 62 s after its head was killed). Children of it do: one that tells where there is room
(census.py), and one for each worker (bridge.py), whose actor ends with it, however it ends.
"""

"""New services and resources, and a name of your own: `make new-service` and the like.

Every command works out all contents in memory, checks them, and only then writes: it
does all, or nothing and says why.
"""

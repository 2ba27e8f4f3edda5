"""New services and resources, and a name of your own: `make new-service` and the like.

Every command works out all contents in memory, checks them, and only then writes: it
does all, or nothing and says why.
"""

# Of the kit; a project that was made of it keeps it until the next `make update`.
__version__ = "0.1.0"

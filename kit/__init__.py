"""Generators of services, resources and tasks, and the renaming of a project.

Every command computes and checks all contents in memory before it writes. It does
everything, or nothing and says why.
"""

# The kit's version; a project made from it keeps this until the next `make update`.
__version__ = "0.1.0"

"""A highly available system on one machine: three zones, three nodes of each server."""

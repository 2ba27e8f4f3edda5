"""The same work, built in the ways that are usual today."""

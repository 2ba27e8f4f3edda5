"""The same work, built the way users build it today."""

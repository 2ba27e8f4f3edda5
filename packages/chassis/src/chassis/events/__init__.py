"""Events: what happened, published to a topic exchange and received by services."""

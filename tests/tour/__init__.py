"""What README.md and docs/TOUR.md show of the running system."""

"""The requests to the running system that README.md and docs/TOUR.md show."""

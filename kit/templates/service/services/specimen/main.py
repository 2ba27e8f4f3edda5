"""The speci men service: serves its queue until it is stopped."""

from app.specimen_service import SpecimenService
from chassis.service import serve

if __name__ == "__main__":
    serve(SpecimenService, queue="specimen_queue")

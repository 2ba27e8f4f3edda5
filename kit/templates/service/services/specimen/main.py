"""The speci men service: serves its queue until told to stop."""

from app.specimen_service import SpecimenService
from chassis.service import serve

if __name__ == "__main__":
    serve(SpecimenService, queue="specimen_queue")

"""The speci men service: serves its queue until told to stop."""

from chassis.service import serve

from app.specimen_service import SpecimenService

if __name__ == "__main__":
    serve(SpecimenService, queue="specimen_queue")

"""The data service: serves its queue until it is stopped."""

from app.data_service import DataService
from chassis.service import serve

if __name__ == "__main__":
    serve(DataService, name="data", queue="data_queue")

SERVICES = (Service("specimen", "specimen_queue"),)  # noqa: F821

"""Files between driver and tasks: those that a job needs, and the model that comes home."""

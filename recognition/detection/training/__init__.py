"""Training of the one-stage detector: mosaics, the teacher, the run."""

"""Training of every family of detectors in `methods`, by the faces that a teacher finds.

config     what a run is told, checked before anything is read or written
mosaics    mosaics of photographs, each labelled by the teacher once, and batches of them
teacher    YuNet, which all of them learn from
objective  how far a one-stage network is from its targets; how each batch is changed
trainer    one run: mosaics, steps, validation, checkpoints, a model card
"""

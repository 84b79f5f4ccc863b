"""Where the faces of a photograph are.

detector  the protocol, the registry, the one place that makes a detector; which of several faces
          is meant; the arithmetic of boxes
mtcnn     MTCNN: a cascade of three networks, on photographs of any sizes and turns
"""

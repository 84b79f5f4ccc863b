"""Where the faces of a photograph are.

detector  the protocol, the registry, the one place that makes a detector; which of several faces
          is meant; the arithmetic of boxes
mtcnn     MTCNN: a cascade of three networks, on photographs of any sizes and turns
one_stage, one_stage_network   the one-stage detector and its network, which is trained here
search                         the search of a photograph around any network that looks at a picture
methods                        the families of detectors that are trained here
detections                     boxes and landmarks of a photograph, in order and turned back
annotations                    boxes that people have drawn, from Pascal VOC's XML
average_precision              how well found boxes agree with drawn ones: matches, curves, AP
training                       what detectors learn from, and their trainer
"""

"""The families of detectors that are trained here, each one module.

config          their names, and what a recipe may change of them
method          what a family is to the trainer: the protocol; the faces of a picture that is learnt
                from
one_stage       the one-stage detector as such a family
sliding_window  a window of 24 pixels over a pyramid of pictures, as one convolution
localisation    whether there is a face, its box, its points: one object a picture
yolo            YOLO, versions 1 to 4
selective_search                proposals by joining what is alike, from the bottom up
rcnn            R-CNN, Fast R-CNN, Faster R-CNN
registry        the family of a name, of a recipe, or of a file of weights; detectors from files
family_detector  what their detectors share: a name, and landmarks in each box
"""

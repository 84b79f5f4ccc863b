"""What a network sees: its units' feature maps, favourite patches, and parts of the image.

units        channels of a tap: which are strong, where, and on which patches of a folder
deconvnet    a unit's strongest place, projected back to pixels
attribution  which pixels or regions a number of the network hangs on
sheet        small images in rows, and the colours of maps
figures      a sheet for each way of looking
"""

from enum import StrEnum


class Show(StrEnum):
    """A way of looking into a network; `figures` draws each."""

    MAPS = "maps"
    PATCHES = "patches"
    DECONV = "deconv"
    SALIENCY = "saliency"
    GRADCAM = "gradcam"
    OCCLUSION = "occlusion"

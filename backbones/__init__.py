"""Image → named feature maps and one embedding; knows no identity and no loss.

The letters that shapes are written with, here and in every room above:

    B   batch: how many images (or faces) are handled at once
    N   gallery: how many templates are enrolled
    D   embedding: how many numbers describe a face
    C   channels of a feature map
    H   height in pixels (or cells of a feature map), counted downwards
    W   width in pixels (or cells of a feature map), counted to the right

Images between functions are RGB, float32, 0 … 1, `(B, 3, H, W)`. Each network brings what its own
input needs (mean, standard deviation) with it, so that nobody outside normalises.
"""

import data as data  # decides how threads wait, before torch is loaded

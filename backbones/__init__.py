"""Image → named feature maps and one embedding; knows no identity and no loss.

    spec         what a network says about itself: taps, input, weights
    registry     every network by its name
    shelf/       the specs, one module a family; no torch
    networks/    the networks, one module a family
    blocks/      what they may be built with in place of their usual layers
    network      the one interface of all of them
    features     feature maps by tap, from a network cut off behind the last one
    weights      trained weights into networks; compressed; on which device
    places       where files of weights lie, and which is taken
    metadata     what a file of weights says about itself
    folded_batch_norm  batch norms multiplied into the convolutions before them
    binary_weights  filters that are signs, as bits
    downloads    a publisher's file, fetched and checked
    dlib_file    the same of dlib's format, read without dlib
    compression/ smaller files of weights
    pair_unit    what verifies a pair of embeddings, kept with its network
    training/    what every training stands on: checkpoint, schedule, run folder, processes
    visualisation/ what a network sees: maps, patches, and what a number hangs on
    profile      what a network costs and sees, layer by layer
    catalogue    every network, whether or not its weights are here
    reference    writes docs/backbones.md

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

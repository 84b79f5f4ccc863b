"""Content + style → picture, by optimisation: a photograph repainted in a painting's manner.

    service        one call for the command line and the page
    stylize        the optimisation: what there is before the first step, and step by step
    config         what to paint: size, steps, weights; named qualities; refuses what makes no sense
    network        what looks at the picture: a backbone cut off behind the last tap
    losses         content, style (Gram or Wasserstein-2), smoothness; moments and matrix roots
    objective      the losses of one scale, weighted and summed
    tiling         the objective tile by tile, each place owned once; smaller where memory runs out
    optimizers     how the picture moves: Adam with clamp and averaging, L-BFGS, CUDA graphs
    scales         coarse to fine: the arithmetic of sizes and steps
    planning       memory, time and tiles of a picture, before it is painted
    memory         how much memory there is, and how much some work takes
    color          the colours of the content kept
    regions        masks: which style where
    portraits      gentler style in faces, and a loss that keeps the person
    draft          a picture at once, by two small networks
    checkpoint     a half-painted picture on disk
    record         what a picture says of how it was painted
    results        what is reported while it is painted
    contact_sheet  one photograph painted with several values of a setting
    presets/       style pictures drawn by code
    evaluation/    how good a picture is, by a network that was not optimised
    training/      the networks for style, trained

Shapes follow the legend of `backbones`. Pictures are RGB, float32, [0, 1], (1, 3, H, W).
"""

import data as data  # decides how threads wait, before torch is loaded

"""Content + style → picture, by optimisation: a photograph repainted in a painting's manner.

    config      what to paint: size, steps, weights; refuses what makes no sense
    network     what looks at the picture: a backbone cut off behind the last tap
    moments     statistics of style, which add up over tiles
    losses      content, style (Gram or Wasserstein-2), total variation; roots: of matrices
    quality     named settings: draft, balanced, fine, print
    objective   the losses of one scale, weighted and summed
    color, lab  the colours of the content kept
    views       how far each tap of a network sees
    tiles       a picture cut up so that each place is owned once
    tiled       the objective tile by tile; elastic: in smaller ones where memory runs out
    memory      how much there is, and how much some work takes
    planning    memory, time and tiles of a picture, before it is painted
    regions     masks: which style where
    pyramid     coarse to fine: the arithmetic of sizes and steps
    initial     what the painting begins from
    painters    how the picture moves: Adam with clamp and averaging, or L-BFGS (lbfgs)
    replay      a step recorded once and launched as one, on a GPU
    easel       everything that is there before the first step
    course      how far a painting is
    unfinished  a half-painted picture on disk
    optimize    stylize(), a generator of Progress
    results     Progress
    presets     style pictures drawn by code
    presets     style pictures drawn by code
    service     one call for the command line and the page
    evaluation  how good a picture is, by a network that was not optimised

Shapes follow the legend of `backbones`. Pictures are RGB, float32, [0, 1], (1, 3, H, W).
"""

import data as data  # decides how threads wait, before torch is loaded

"""Content + style → picture, by optimisation: a photograph repainted in a painting's manner.

    config      what to paint: size, steps, weights; refuses what makes no sense
    quality     named settings: draft, balanced, fine, print
    losses      content, Gram style, total variation: target → representation → score
    objective   the losses of one scale, weighted and summed
    color, lab  the colours of the content kept
    regions     masks: which style where
    pyramid     coarse to fine: the arithmetic of sizes and steps
    painters    how the picture moves: Adam with clamp and averaging, or L-BFGS
    optimize    stylize(), a generator of Progress
    results     Progress
    presets     style pictures drawn by code
    service     one call for the command line and the page

Shapes follow the legend of `backbones`. Pictures are RGB, float32, [0, 1], (1, 3, H, W).
"""

"""Photographs of people → a better embedding.

config            what a run is told, checked before anything is read or written
choices           the names that it may be told: losses, mining, samplers, precision
folder_alignment  a folder of photographs → a folder of aligned faces
dataset           the photographs of a run, aligned, in memory, and whether they are alike
batches           which photographs, how they are changed and mixed, decoded ahead
pictures          pictures without names, which a compressed network is taught by
losses            the terms of the objective
distillation      a small network taught by larger ones
narrower_network  `models compress --method distill`: another network in the place of one
attention_fit     the query of attention over a person's templates, for `--match attention`
auxiliary         losses half-way through a deep network
transfer          weights to begin with, and which layers learn when
fast_layers       layers with a faster backward pass on the CPU
epoch             the inner loop: batch by batch through one epoch
trainer           one run: steps, validation, checkpoints, weights that know their threshold, a card
validation        how good the embedding is on people kept out; the pair unit fitted to them
reports           what a run tells, and where its error is: bias or variance
plots             its pictures, and TensorBoard
gradient_check    whether the gradient is the derivative of the loss
hyperparameter_search  many runs compared, or one run's rate changed as it goes
"""

"""How the bundled style network and the decoder of drafts are made: recipes into weights.

config        a recipe, checked
dataset       photographs in memory; batches of crops, augmented, each by its number
distances     how far feature maps are from others, relative to what varies in them
distillation  a small network learns a larger one's feature maps
decoder       a decoder learns to paint
trainer       one run: steps, validation, checkpoints, its model card; `train` is the one call
"""

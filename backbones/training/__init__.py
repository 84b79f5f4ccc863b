"""What every training stands on, whatever is trained: faces, styles, detectors.

schedule     the learning rate as a function of the step
optimizers   step rules, with weight decay where it belongs
averaging    a moving average of the weights
steps        a run that counts steps: losses, validation, checkpoints
checkpoint   all that a run needs to go on, in one file
run_folder   a run's folder: config, metrics, weights, and whether a run found there is this one
model_card   what a run writes about its best weights
distributed  one run in several processes
"""

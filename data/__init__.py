"""Pixels and files in and out: safe decoding, data sets, whole writes, errors.

errors            the errors that a user may meet
files             where the data folder is, whole writes or none, digests
temporary         temporary files: hidden, of one prefix, swept
folders           what is taken from a folder of photographs, with an account of the rest
formats           the formats that are read and written
decoding          a stranger's bytes → upright RGB, every limit checked first
decoder_sandbox   the same in processes of their own, whose memory and time are bounded
decoder_worker    such a process
modes             any of Pillow's pixel modes as 8-bit RGB
pixels            a picture's pixels, with all of their bits and their transparency
images            pictures in and out: decoding, tensors, saving
sources           pictures as callers from Python hand them in
augmentation      training batches changed at random: place, colour, wear; seeded
datasets          folders of people, and how they are split
lfw               LFW's list of pairs, and where its photographs lie
config            configurations: checked values, TOML, environment, `--set`
tensors           safetensors files, and no pickle
plotting          figures of matplotlib
progress          the form in which long work tells how far it has come
clock             what time it is, and whether that can be believed
threads           how many threads compute, and how they wait
environment       what a process that is started here gets of this one's environment
assets/           files that come along: weights, pictures, what weights say of strangers
distribution      this application as a package: name, version, how to install it
"""

from .threads import bound_spinning

bound_spinning()  # every package imports this one first, and torch reads it once, when it loads

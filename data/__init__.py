"""Pixels and files in and out: safe decoding, data sets, whole writes, errors."""

from .threads import bound_spinning

bound_spinning()  # every package imports this one first, and torch reads it once, when it loads

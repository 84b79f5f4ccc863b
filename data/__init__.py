"""Pixels and files in and out: safe decoding, data sets, whole writes, errors."""

#!/usr/bin/env python3
"""Cross-entropy of a unigram model (counts of the training labels plus one) on the labels of a validation file, in nats per token.

usage: tools/oracle.sh experiments/real_input/unigram.py TRAIN.h5 VALIDATION.h5
"""
import sys

import h5py
import numpy

def labels(path):
    """Every token but each document's first, and the vocabulary size."""
    with h5py.File(path) as file:
        tokens, offsets = file["tokens"][:], file["document_offsets"][:]
        keep = numpy.ones(len(tokens), bool)
        keep[offsets[:-1]] = False
        return tokens[keep], int(file.attrs["vocab_size"])


train, size = labels(sys.argv[1])
validation, _ = labels(sys.argv[2])
counts = numpy.bincount(train, minlength=size) + 1.0
print(f"{len(train)} training labels, {len(validation)} validation labels, unigram loss {-numpy.log(counts[validation] / counts.sum()).mean():.4f}")

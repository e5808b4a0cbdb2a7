"""Reads a token file with h5py alone: tools/oracle.sh tools/read_token_file.py FILE.h5"""
import json
import sys

import h5py

with h5py.File(sys.argv[1]) as file:
    attributes = {name: value.decode() if isinstance(value, bytes) else int(value) for name, value in file.attrs.items()}
    print(json.dumps(attributes, indent=1, ensure_ascii=False))
    offsets = file["document_offsets"][:]
    for document in range(min(3, len(offsets) - 1)):
        begin, end = offsets[document], offsets[document + 1]
        weights = file["loss_weight"][begin:end].tolist() if "loss_weight" in file else None
        print(document, file["tokens"][begin:end].tolist(), weights)

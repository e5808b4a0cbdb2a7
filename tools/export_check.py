#!/usr/bin/env python3
"""Does transformers read a folder that dslite exported, with no tensor missing, left over or of another shape, and give the same logits?

usage: tools/oracle.sh tools/export_check.py DSLITE FOLDER [--documents N] [--length N]
       tools/oracle.sh tools/export_check.py DSLITE FOLDER --make TEXT        (first makes a small random folder there)
Compared in fp32, `dslite probe` with transformers document by document: the largest difference relative to the largest logit is at most 1e-5.
"""
import argparse
import json
import pathlib
import tempfile

import torch
from peer_model import load_peer, make_folder, run
from safetensors.torch import load_file


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dslite")
    parser.add_argument("folder")
    parser.add_argument("--documents", type=int, default=4)
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--make", metavar="TEXT")
    parser.add_argument("--q-lora-rank", type=int)
    args = parser.parse_args()
    if args.make:
        make_folder(args.folder, args.dslite, args.make, args.q_lora_rank)
    model, tokenizer = load_peer(args.folder)
    print(f"transformers loads {args.folder}: no tensor missing, left over or reshaped; tokenizer {type(tokenizer).__name__} with {len(tokenizer)} tokens")
    torch.manual_seed(3)
    documents = [torch.randint(0, model.config.vocab_size, (max(1, args.length - 7 * i),)).tolist() for i in range(args.documents)]
    with tempfile.TemporaryDirectory() as scratch:
        tokens, output = pathlib.Path(scratch) / "tokens.json", pathlib.Path(scratch) / "probe.safetensors"
        tokens.write_text(json.dumps({"documents": documents}))
        run(args.dslite, "probe", "--model", args.folder, "--tokens", tokens, "--output", output, "--dtype", "float32")
        found = load_file(output)["logits"]
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([d])).logits[0] for d in documents])
    assert found.shape == expected.shape, (found.shape, expected.shape)
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    print(f"logits of {len(documents)} documents, {found.shape[0]} tokens: largest difference {error:.2e} of the largest logit {expected.abs().max():.3f} (at most 1e-5)")
    raise SystemExit(0 if error <= 1e-5 else 1)


main()

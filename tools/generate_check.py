#!/usr/bin/env python3
"""Greedy text of `dslite generate` against transformers: the same ids for 64 tokens on 5 prompts, in fp32.

usage: tools/oracle.sh tools/generate_check.py DSLITE FOLDER [--tokens N] [--prompt TEXT ...]
The ids are only comparable where the two best logits differ clearly: the script asserts a gap above 1e-4 at every step.
"""
import argparse
import json

import torch
from peer_model import load_peer, run

PROMPTS = ["The weather today", "Once upon a time there was", "def add(a, b):\n    return", "今天我们", "1 + 2 ="]


def greedy(model, ids, count, eos):
    """Greedy ids by the plain forward of the whole text at each step, and the smallest gap between the two best logits."""
    reply, gap = [], float("inf")
    with torch.no_grad():
        while len(reply) < count:
            best = model(torch.tensor([ids + reply])).logits[0, -1].topk(2)
            gap = min(gap, (best.values[0] - best.values[1]).item())
            reply.append(best.indices[0].item())
            if reply[-1] == eos:
                break
    return reply, gap


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dslite")
    parser.add_argument("folder")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", nargs="+", default=PROMPTS)
    args = parser.parse_args()
    model, tokenizer = load_peer(args.folder)
    wrong = 0
    for prompt in args.prompt:
        output = run(args.dslite, "generate", "--model", args.folder, "--prompt", prompt, "--max-new-tokens", args.tokens, "--temperature", 0, "--dtype", "float32", "--json")
        found = json.loads(output)
        ids = tokenizer.encode(prompt)
        assert found["prompt_ids"] == ids, f"prompt {prompt!r}: dslite {found['prompt_ids']}, transformers {ids}"
        reply, gap = greedy(model, ids, args.tokens, model.config.eos_token_id)
        assert gap > 1e-4, f"prompt {prompt!r}: the two best logits come as close as {gap:.1e}: choose another prompt"
        cached = model.generate(torch.tensor([ids]), max_new_tokens=args.tokens, do_sample=False, pad_token_id=model.config.eos_token_id)[0].tolist()[len(ids) :]
        same = found["reply_ids"] == reply
        wrong += not same
        print(f"{'same' if same else 'DIFFERENT'}: {prompt!r}, {len(reply)} tokens, smallest gap {gap:.1e}, transformers' own cache {'agrees' if cached == reply else 'differs'}")
        if not same:
            print(f"  found    {found['reply_ids']}\n  expected {reply}")
    print(f"{len(args.prompt) - wrong} of {len(args.prompt)} prompts equal")
    raise SystemExit(1 if wrong else 0)


main()

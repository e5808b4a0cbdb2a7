#!/usr/bin/env python3
"""Measures dslite's tokenizer beside the `tokenizers` package in one run: encoding on one and two threads, decoding, one long piece, training.

usage: tools/oracle.sh tools/bench_tokenizer.py DSLITE TOKENIZER_FOLDER NAME=FILE[,FILE...]... [--train-mb MB --vocab-size N]
Files are UTF-8 text; of .json and .jsonl the strings are taken. The package gets at most 4 MB of each text, as it is slower; rates are megabytes (10^6) a second,
the fastest of three runs. Both train on the same text: the files again and again, each time with some words altered.
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

PACKAGE_BYTES = 4_000_000


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def text_of(path):
    raw = pathlib.Path(path).read_text()
    if path.endswith(".json"):
        return "\n".join(strings(json.loads(raw)))
    if path.endswith(".jsonl"):
        return "\n".join("\n".join(strings(json.loads(line))) for line in raw.splitlines())
    return raw


def fastest(run):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def package(folder, path, threads):
    """In a process of its own, as the number of threads is read once."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.encode_special_tokens = True
    text = pathlib.Path(path).read_bytes()[:PACKAGE_BYTES].decode(errors="ignore")
    size = len(text.encode()) * 1e-6
    if threads > 1:
        lines = text.split("\n")
        seconds, _ = fastest(lambda: tokenizer.encode_batch_fast(lines, add_special_tokens=False))
        print(json.dumps({"encode": size / seconds}))
        return
    seconds, encoding = fastest(lambda: tokenizer.encode(text, add_special_tokens=False))
    ids = encoding.ids
    decode_seconds, _ = fastest(lambda: tokenizer.decode(ids, skip_special_tokens=False))
    print(json.dumps({"encode": size / seconds, "decode": size / decode_seconds}))


def run_package(folder, path, threads):
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, __file__, "--package", folder, path, str(threads)]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def bench(args, texts, scratch):
    for name, text in texts.items():
        path = scratch / f"{name}.txt"
        path.write_text(text)
        command = [args.dslite, "tokenizer", "bench", "--json", "--threads", "2", "--tokenizer", args.folder, str(path)]
        ours = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]
        one, two = run_package(args.folder, str(path), 1), run_package(args.folder, str(path), 2)
        row = [ours[f"{key}_mb_per_second"] for key in ("encode", "encode_lines_all_threads", "encode_whole_all_threads", "decode")]
        print(
            f"{name}: {ours['bytes'] * 1e-6:.1f} MB, {ours['bytes'] / ours['tokens']:.2f} bytes a token\n"
            f"  encode, one thread    {row[0]:7.1f} MB/s   tokenizers {one['encode']:6.2f}   {row[0] / one['encode']:5.1f} times\n"
            f"  two threads, by line  {row[1]:7.1f} MB/s   tokenizers {two['encode']:6.2f}   {row[1] / row[0]:5.2f} times one thread; one text on two threads {row[2]:.1f} MB/s, {row[2] / row[0]:.2f} times\n"
            f"  decode                {row[3]:7.1f} MB/s   tokenizers {one['decode']:6.2f}   {row[3] / one['decode']:5.1f} times",
            flush=True,
        )
    letters = random.Random(1)
    long_piece = scratch / "long.txt"
    long_piece.write_text("".join(chr(0x4E00 + letters.randrange(3000)) for _ in range(350_000)))
    command = [args.dslite, "tokenizer", "bench", "--json", "--threads", "1", "--tokenizer", args.folder, str(long_piece)]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]
    print(f"one piece of {ours['bytes'] * 1e-6:.2f} MB without a place to split: {ours['bytes'] * 1e-6 / ours['encode_mb_per_second']:.3f} s")


def altered(text, size, path):
    """About `size` bytes: the text, then copies in which one word in fifty gets other letters."""
    r = random.Random(2)
    with open(path, "w") as file:
        file.write(text)
        while file.tell() < size:
            file.write(re.sub(r"\w+", lambda m: m[0] if r.random() > 0.02 else "".join(r.sample(m[0], len(m[0]))), text))
    return os.path.getsize(path)


def bench_training(args, texts, scratch):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    path = str(scratch / "train.txt")
    size = altered("\n".join(texts.values()), args.train_mb * 1_000_000, path)
    start = time.perf_counter()
    subprocess.run([args.dslite, "tokenizer", "train", "--threads", "2", "--vocab-size", str(args.vocab_size), "--output", str(scratch / "trained"), path], check=True, stderr=subprocess.DEVNULL)
    ours = time.perf_counter() - start
    merges = json.loads((scratch / "trained/tokenizer.json").read_text())["model"]["merges"]
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = Tokenizer.from_file(f"{scratch}/trained/tokenizer.json").pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()  # 13 bytes more than occur in UTF-8
    start = time.perf_counter()
    peer.train([path], trainers.BpeTrainer(vocab_size=args.vocab_size - 2 + 13, initial_alphabet=alphabet, show_progress=False))
    theirs = time.perf_counter() - start
    expected = [m if isinstance(m, str) else " ".join(m) for m in json.loads(peer.to_str())["model"]["merges"]]
    same = next((i for i, (a, b) in enumerate(zip(merges, expected)) if a != b), min(len(merges), len(expected)))
    print(f"training on {size * 1e-6:.0f} MB to {args.vocab_size} tokens: {ours:.1f} s, tokenizers {theirs:.1f} s, {ours / theirs:.3f} of it; merges: {len(merges)}, of the package {len(expected)}, equal {same}")


def main():
    if sys.argv[1:2] == ["--package"]:
        return package(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dslite")
    parser.add_argument("folder")
    parser.add_argument("texts", nargs="+", metavar="NAME=FILE,...")
    parser.add_argument("--train-mb", type=int, default=0)
    parser.add_argument("--vocab-size", type=int, default=32768)
    args = parser.parse_args()
    texts = {}
    for argument in args.texts:
        name, files = argument.split("=", 1)
        texts[name] = "\n".join(text_of(path) for path in files.split(","))
    with tempfile.TemporaryDirectory() as scratch:
        if args.train_mb:
            bench_training(args, texts, pathlib.Path(scratch))
        else:
            bench(args, texts, pathlib.Path(scratch))


main()

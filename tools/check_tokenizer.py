#!/usr/bin/env python3
"""Compares dslite's tokenizer with the `tokenizers` package: files whole and by line, fuzzed strings over all of Unicode, decoding, training.

usage: tools/oracle.sh tools/check_tokenizer.py DSLITE TOKENIZER_FOLDER [--data FOLDER] [--fuzz N] [--seed S] [--code-points] [--train FILE --vocab-size N]
"""
import argparse
import gzip
import json
import pathlib
import random
import subprocess
import tempfile

from fuzzed_text import ALPHABETS, MORE_ALPHABETS, fuzzed
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

class Checker:
    def __init__(self, dslite, folder):
        self.dslite, self.folder = dslite, str(folder)
        self.oracle = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
        self.oracle.encode_special_tokens = True
        self.normalizes = self.oracle.normalizer is not None and "normalizers=[]" not in str(self.oracle.normalizer)
        self.compared = self.wrong = 0

    def run(self, action, text, *options):
        command = [self.dslite, "tokenizer", action, "--tokenizer", self.folder, *options]
        done = subprocess.run(command, input=text, capture_output=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr.decode()}")
        return done.stdout

    def expect(self, what, found, expected):
        self.compared += 1
        if found != expected:
            self.wrong += 1
            if self.wrong <= 20:
                print(f"DIFFERENT {what!r}\n  found    {found[:40]!r}\n  expected {expected[:40]!r}")

    def whole(self, name, text):
        ids = json.loads(self.run("encode", text.encode()))
        self.expect(name, ids, self.oracle.encode(text, add_special_tokens=False).ids)
        decoded = self.run("decode", json.dumps(ids).encode()).decode()
        self.expect(name + " decoded", decoded, self.oracle.decode(ids, skip_special_tokens=False) if self.normalizes else text)

    def lines(self, texts, parse_special=False):
        options = ["--lines"] + (["--parse-special"] if parse_special else [])
        output = self.run("encode", ("\n".join(texts) + "\n").encode(), *options)
        self.oracle.encode_special_tokens = not parse_special
        expected = self.oracle.encode_batch(texts, add_special_tokens=False)
        self.oracle.encode_special_tokens = True
        found = output.splitlines()
        assert len(found) == len(texts), (len(found), len(texts))
        for text, line, want in zip(texts, found, expected):
            self.expect(text, json.loads(line), want.ids)

    def decoding(self, lists):
        """Random ids: most are no UTF-8, so the places of U+FFFD count."""
        found = self.run("decode", "".join(json.dumps(ids) + "\n" for ids in lists).encode(), "--lines")
        expected = "".join(self.oracle.decode(ids, skip_special_tokens=False) + "\n" for ids in lists)
        self.expect("decoded random ids", found.decode(), expected)


def check_files(checker, data):
    for path in sorted(p for p in pathlib.Path(data).rglob("*") if p.is_file()):
        raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode()
        before = checker.wrong
        checker.whole(path.name, text)
        checker.lines(text.split("\n"))
        print(f"{'same' if checker.wrong == before else 'DIFFERENT'}: {path.relative_to(data)}, {len(raw)} bytes", flush=True)


def check_fuzz(checker, count, seed):
    r = random.Random(seed)
    added = [token.content for token in checker.oracle.get_added_tokens_decoder().values() if "\n" not in token.content]
    alphabets = ALPHABETS + MORE_ALPHABETS + [lambda r: r.choice(added) if r.randrange(2) else r.choice(" a<\u3000\t")]
    for begin in range(0, count, 20000):
        texts = [fuzzed(r, alphabets) for _ in range(min(20000, count - begin))]
        checker.lines(texts)
        checker.lines(texts, parse_special=True)
        checker.whole("fuzz joined by line feeds", "\n".join(texts))
        size = checker.oracle.get_vocab_size()
        checker.decoding([[r.randrange(size) for _ in range(r.randrange(1, 20))] for _ in range(5000)])
        print(f"fuzz: {begin + len(texts)} strings, {checker.wrong} different", flush=True)


def check_code_points(checker):
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c != 0xA]
    checker.lines(["a " + c + "b" for c in every])
    checker.lines([c for c in every])
    print(f"every code point: {checker.wrong} different", flush=True)


def check_training(dslite, path, vocab_size):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([dslite, "tokenizer", "train", "--vocab-size", str(vocab_size), "--output", folder, path], check=True)
        ours = json.loads((pathlib.Path(folder) / "tokenizer.json").read_text())
        checker = Checker(dslite, folder)
        checker.whole(path, pathlib.Path(path).read_text())
        from transformers import AutoTokenizer

        loaded = AutoTokenizer.from_pretrained(folder)
        text = "Hello world, 123 naïve 你好"
        expected = checker.oracle.encode(text, add_special_tokens=False).ids
        assert loaded.encode(text) == [vocab_size - 2] + expected, loaded.encode(text)
        assert loaded.bos_token_id == vocab_size - 2 and loaded.eos_token_id == vocab_size - 1
        print("transformers loads the folder:", type(loaded).__name__, loaded.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)[:40])
        peer = Tokenizer(models.BPE())
        peer.pre_tokenizer = checker.oracle.pre_tokenizer
        peer.train([path], trainers.BpeTrainer(vocab_size=vocab_size - 2 + 13, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        theirs = [" ".join(m) if isinstance(m, list) else m for m in json.loads(peer.to_str())["model"]["merges"]]
        merges = ours["model"]["merges"]
        same = next((i for i, (a, b) in enumerate(zip(merges, theirs)) if a != b), min(len(theirs), len(merges)))
        print(f"training: {len(merges)} merges, the first {same} equal to the package's trainer of {len(theirs)}")
        return checker.wrong + (same != len(theirs))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dslite")
    parser.add_argument("folder")
    parser.add_argument("--data")
    parser.add_argument("--fuzz", type=int, default=0)
    parser.add_argument("--code-points", action="store_true", help="every code point alone and between others")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train")
    parser.add_argument("--vocab-size", type=int, default=4096)
    args = parser.parse_args()
    checker = Checker(args.dslite, args.folder)
    if args.data:
        check_files(checker, args.data)
    if args.fuzz:
        check_fuzz(checker, args.fuzz, args.seed)
    if args.code_points:
        check_code_points(checker)
    wrong = checker.wrong
    if args.train:
        wrong += check_training(args.dslite, args.train, args.vocab_size)
    print(f"{checker.compared} comparisons, {wrong} different")
    raise SystemExit(1 if wrong else 0)


main()

#!/usr/bin/env python3
"""Writes tests/golden/text: a small tokenizer trained and saved by the `tokenizers` package with its ids, and ids of the shared data
(hashes only).

usage: tools/oracle.sh tools/make_text_goldens.py SHARED_DATA        (the folder with tokenizer/, cpt/, sft/, eval/)
"""
import gzip
import hashlib
import json
import pathlib
import random
import struct
import sys

from fuzzed_text import fuzzed
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/text"
WORDS = (
    "the of and to in is that it was for on are with as his they be at one have this from or had by hot but some what there we can out other were all "
    "your when up use word how said an each she which do their time if will way about many then them would write like so these her long make thing see "
    "him two has look more day could go come did my sound no most number who over know water than call first people may down side been now find any new "
    "work part take get place made live where after back little only round man year came show every good me give our under name very through just form "
    "Größe naïve façade Привет мир κόσμος 模型 训练 数据 我们 今天 天气 很好 東京 こんにちは 안녕하세요 print return import self def class"
).split()


def write_lines(name, records):
    GOLDEN.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records]
    (GOLDEN / name).write_text("".join(lines))


def digest(ids):
    return hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()[:16]


def small_tokenizer(v2):
    """512 tokens with special, plain, normalized and raw added tokens; the package itself writes the file."""
    r = random.Random(7)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = v2.pre_tokenizer
    tokenizer.decoder = v2.decoder
    text = [" ".join(r.choice(WORDS) + r.choice(["", "", "", ",", ".", "\n", " 12", "  "]) for _ in range(50)) for _ in range(200)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(text, trainers.BpeTrainer(vocab_size=505, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_special_tokens([AddedToken("<｜begin▁of▁sentence｜>", normalized=True, special=True), AddedToken("<｜end▁of▁sentence｜>", normalized=False, special=True)])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False, special=False), AddedToken("<tool>x", normalized=True, special=False), AddedToken("ü", normalized=True, special=False),
                          AddedToken("｜end▁", normalized=False, special=False)])
    tokenizer.add_special_tokens([AddedToken("<|pad|>", special=True)])
    bos = tokenizer.token_to_id("<｜begin▁of▁sentence｜>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<｜begin▁of▁sentence｜> $A", special_tokens=[("<｜begin▁of▁sentence｜>", bos)])
    return tokenizer


def encode(tokenizer, text, parse_special):
    tokenizer.encode_special_tokens = not parse_special
    return tokenizer.encode(text, add_special_tokens=False).ids


def make_small(v2):
    tokenizer = small_tokenizer(v2)
    folder = GOLDEN / "small_tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": {"__type": "AddedToken", "content": "<｜begin▁of▁sentence｜>"}, "eos_token": "<｜end▁of▁sentence｜>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False) + "\n")
    r = random.Random(8)
    records = []
    for i in range(300):
        text = fuzzed(r)[:40] if i % 2 else " ".join(r.choice(WORDS) for _ in range(r.randrange(1, 6)))
        for _ in range(r.randrange(3)):
            at = r.randrange(len(text) + 1)
            text = text[:at] + r.choice(["\n", "\r\n", "  ", "<tool>", "<tool>x", "ü", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>", "<|pad|>", "｜end▁"]) + text[at:]
        ids = encode(tokenizer, text, False)
        noise = [r.randrange(tokenizer.get_vocab_size()) for _ in range(6)]
        records.append({"text": text, "ids": ids, "parsed": encode(tokenizer, text, True), "noise": noise, "decoded": tokenizer.decode(noise, skip_special_tokens=False),
                        "skipped": tokenizer.decode(noise, skip_special_tokens=True)})
    write_lines("small_tokenizer.jsonl", records)


def make_shared(v2, data):
    records = []
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        if path.suffix == ".gz":
            continue
        text = path.read_bytes().decode()
        whole = encode(v2, text, False)
        by_line = [i for e in v2.encode_batch(text.split("\n"), add_special_tokens=False) for i in e.ids]
        records.append({"file": str(path.relative_to(data)), "ids": len(whole), "hash": digest(whole), "line_ids": len(by_line), "line_hash": digest(by_line)})
    write_lines("shared_data.jsonl", records)


def main():
    data = pathlib.Path(sys.argv[1])
    v2 = Tokenizer.from_file(str(data / "tokenizer/tokenizer.json"))
    make_small(v2)
    make_shared(v2, data)


main()

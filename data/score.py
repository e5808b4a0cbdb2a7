#!/usr/bin/env python3
"""Scores replies to the held-out questions: exact match per class and in all, beside the majority baseline.

usage: data/score.py HELD_OUT.jsonl REPLIES.jsonl [REPLIES.jsonl ...] [--require SHARE]
REPLIES.jsonl: what `dslite generate --input HELD_OUT.jsonl --json` prints, one object a line in the order of the questions. One column per file.
A reply is right when its text, without spaces at its ends, equals the answer. The majority baseline is the best that one constant answer could reach.
--require 0.6: exit 1 unless the last file reaches this share in all, and every class 20 points above its baseline.
"""
import argparse
import json
from collections import Counter


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def share(parts):
    parts = list(parts)
    return sum(parts) / len(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out")
    parser.add_argument("replies", nargs="+")
    parser.add_argument("--require", type=float)
    options = parser.parse_args()
    questions = read(options.held_out)
    columns = []
    for path in options.replies:
        replies = read(path)
        if len(replies) != len(questions):
            raise SystemExit(f"score: {path} holds {len(replies)} replies, {options.held_out} {len(questions)} questions")
        columns.append([reply["text"].strip() == question["answer"] for question, reply in zip(questions, replies)])
    names = [path.rsplit("/", 1)[-1].removesuffix(".jsonl") for path in options.replies]
    width = max(9, *map(len, names))
    print("class       questions  majority" + "".join(f"  {name:>{width}}" for name in names))
    good = True
    for kind in [*dict.fromkeys(question["class"] for question in questions), "all"]:
        rows = [i for i, question in enumerate(questions) if kind in (question["class"], "all")]
        majority = Counter(questions[i]["answer"] for i in rows).most_common(1)[0][1] / len(rows)
        shares = [share(column[i] for i in rows) for column in columns]
        print(f"{kind:<12}{len(rows):>9}  {majority:>7.1%}" + "".join(f"  {value:>{width}.1%}" for value in shares))
        needed = options.require if kind == "all" else majority + 0.2
        good &= options.require is None or shares[-1] >= needed
    if not good:
        raise SystemExit(f"score: below {options.require:.0%} in all, or a class less than 20 points above its baseline")


if __name__ == "__main__":
    main()

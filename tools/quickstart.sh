#!/usr/bin/env bash
# From a fresh Debian 12 with git and root to a tiny DeepSeek-V2 model that answers questions: installs, builds dslite, makes the sample data, trains a tokenizer,
# pre-trains, fine-tunes on chat, measures held-out accuracy before and after, exports, verifies, asks. Meant to end within 25 minutes on 2 cores; running it again skips what is done.
# usage: tools/quickstart.sh        everything it makes lies in quickstart/ and build/; remove quickstart/ to start over
set -euo pipefail
cd "$(dirname "$0")/.."
work=quickstart
dslite=build/release/src/dslite
mkdir -p "$work"

# step NAME COMMAND...: runs it once, prints its time; a step that was interrupted runs again.
step() {
  local name=$1 begin=$SECONDS
  shift
  if [ -e "$work/.done/$name" ]; then
    echo "== $name: done before"
    return
  fi
  echo "== $name"
  "$@"
  mkdir -p "$work/.done" && touch "$work/.done/$name"
  echo "== $name: $((SECONDS - begin)) s"
}

# fresh PATH COMMAND...: a step that ended between its output and its mark starts over.
fresh() {
  rm -rf "$1"
  "${@:2}"
}

build() {
  cmake --preset release >/dev/null
  cmake --build --preset release --target dslite
}

# Answers every held-out question: MODEL NAME
answer() {
  "$dslite" generate --model "$1" --input "$work/data/held_out.jsonl" --max-new-tokens 16 --json >"$work/$2.jsonl.tmp"
  mv "$work/$2.jsonl.tmp" "$work/$2.jsonl"
}

three_questions() {
  local question
  for question in "What is 47+8?" "Sort from small to large: 52 7 31" "反过来排列：猫、山、雨"; do
    printf '{"messages": [{"role": "user", "content": "%s"}]}' "$question" >"$work/question.json"
    echo "  User: $question"
    echo "  Assistant:$("$dslite" generate --model "$work/model" --messages "$work/question.json" --max-new-tokens 16)"
  done
}

started=$SECONDS
tools/setup.sh
echo "== setup: $((SECONDS - started)) s"
build_started=$SECONDS
build
echo "== build: $((SECONDS - build_started)) s"
step data data/generate.py --output "$work/data"
step tokenizer fresh "$work/tokenizer" "$dslite" tokenizer train --vocab-size 1024 --output "$work/tokenizer" "$work/data/tokenizer.txt"
step init fresh "$work/start" "$dslite" init --config recipes/pretrain/tiny.config.json --output "$work/start" --tokenizer "$work/tokenizer" --seed 1
step prepare-corpus fresh "$work/corpus.h5" "$dslite" prepare --tokenizer "$work/tokenizer" --output "$work/corpus.h5" --validation 1% "$work/data/corpus.jsonl"
step prepare-chat fresh "$work/chat.h5" "$dslite" prepare --tokenizer "$work/tokenizer" --output "$work/chat.h5" --validation 1% --chat-format deepseek-v2 "$work/data/chat.jsonl"
step pretrain "$dslite" train recipes/pretrain/tiny.toml
step answer-before answer "$work/pretrain" before
step finetune "$dslite" train recipes/sft/tiny.toml
step answer-after answer "$work/sft" after
step export fresh "$work/model" "$dslite" export --run "$work/sft" --output "$work/model"
"$dslite" verify "$work/model"
echo "Held-out questions answered exactly, before and after fine-tuning:"
data/score.py "$work/data/held_out.jsonl" "$work/before.jsonl" "$work/after.jsonl" --require 0.6
three_questions
echo "== all: $((SECONDS - started)) s. Talk to it: $dslite chat --model $work/model"

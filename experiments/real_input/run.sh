#!/usr/bin/env bash
# Real input from files to an exported model. usage: experiments/real_input/run.sh DATA     (a folder with tokenizer/, cpt/ and sft/; DATA is never committed)
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1
here=experiments/real_input
out=runs/real_input
dslite=build/release/src/dslite
mkdir -p "$out"
"$dslite" prepare --tokenizer "$data/tokenizer" --output "$out/text.h5" "$data"/cpt/{tinyshakespeare,wikitext2_test,gutenberg_2701_moby_dick,llamafactory_wiki_demo}.txt
"$dslite" prepare --tokenizer "$data/tokenizer" --output "$out/text.validation.h5" "$data/cpt/wikitext2_valid.txt"
"$dslite" prepare --tokenizer "$data/tokenizer" --output "$out/chat.h5" --validation 3% --chat-format deepseek-v2 \
  "$data"/sft/{llamafactory_alpaca_en_demo,llamafactory_alpaca_zh_demo,llamafactory_identity,fastchat_dummy_conversation_sharegpt}.json
"$dslite" init --config "$here/config.json" --output "$out/start" --tokenizer "$data/tokenizer" --seed 1
"$dslite" train "$here/pretrain.toml"
"$dslite" eval --model "$out/pretrain" --data "$out/text.validation.h5" --sequence-tokens 256
tools/oracle.sh "$here/unigram.py" "$out/text.h5" "$out/text.validation.h5"
"$dslite" eval --model "$out/pretrain" --data "$out/chat.validation.h5" --sequence-tokens 512   # SFT's start
"$dslite" train "$here/sft.toml"
"$dslite" eval --model "$out/sft" --data "$out/chat.validation.h5" --sequence-tokens 512
"$dslite" export --run "$out/sft" --output "$out/model"
"$dslite" verify "$out/model"

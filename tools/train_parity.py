"""Trains a tiny model for 50 steps with dslite and with a plain PyTorch loop over transformers, and compares losses and final weights.

usage: tools/oracle.sh tools/train_parity.py [DSLITE_BINARY]

Both see the same rows: every document fills one row, and the loader's order (Philox4x32-10, swap-or-not) is computed here a second time.
The bound is max(1e-5, 10 x the distance between transformers' own eager and grouped expert paths). Exit code 1 when it is missed.
"""
import json, math, pathlib, random, subprocess, sys, tempfile

import h5py, numpy as np, torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

LENGTH, ROWS_PER_STEP, MICRO_BATCHES, STEPS, ALPHA, RATE, WARMUP, SEED = 32, 8, 4, 50, 0.01, 1e-3, 5, 11
CONFIG = dict(architectures=["DeepseekV2ForCausalLM"], model_type="deepseek_v2", vocab_size=320, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
              intermediate_size=96, moe_intermediate_size=32, n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=2, first_k_dense_replace=1, q_lora_rank=None, kv_lora_rank=32,
              qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, max_position_embeddings=256, rope_theta=10000, rms_norm_eps=1e-6, hidden_act="silu", tie_word_embeddings=False,
              attention_bias=False, bos_token_id=318, eos_token_id=319, torch_dtype="float32", initializer_range=0.05, aux_loss_alpha=ALPHA, routed_scaling_factor=1.0, n_group=1, topk_group=1,
              topk_method="greedy", norm_topk_prob=False)
RECIPE = """[model]
path = "{0}/model"
dtype = "float32"
[data]
train = ["{0}/train.h5"]
sequence_tokens = {1}
[batch]
tokens_per_step = {2}
tokens_per_micro_batch = {3}
[optimizer]
learning_rate = {4}
[schedule]
kind = "warmup_step_decay"
warmup_steps = {5}
decay_at = [0.6, 0.8]
decay_factor = 0.316
[loss]
balance_alpha = {6}
[run]
folder = "{0}/run"
seed = {7}
total_tokens = {8}
[log]
tensorboard = false
"""


def philox(counter, key):
    counter, key = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & 0xFFFFFFFF, (a >> 32) ^ counter[3] ^ key[1], a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


class Stream:
    """src/base/random.h"""

    def __init__(self, seed, purpose, step=0, sample=0):
        first = philox([step & 0xFFFFFFFF, step >> 32, sample & 0xFFFFFFFF, sample >> 32], [seed & 0xFFFFFFFF, (seed >> 32) ^ (purpose * 0x9E3779B9 & 0xFFFFFFFF)])
        self.key, self.high = first[:2], first[2:]

    def bits(self, index):
        words = philox([index & 0xFFFFFFFF, index >> 32] + self.high, self.key)
        return words[0] | words[1] << 32

    def below(self, index, bound):
        return self.bits(index) * bound >> 64


def permutation(size, stream):
    """src/data/permutation.h: 96 rounds of the swap-or-not shuffle."""
    mask = (1 << 64) - 1

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    rounds = [(stream.below(2 * r, size), stream.bits(2 * r + 1)) for r in range(96)]

    def place(x):
        for key, salt in rounds:
            partner = (key - x) % size
            if mix(max(x, partner) ^ salt) & 1:
                x = partner
        return x

    return place


def row_order(num_rows, epoch):
    """Which document is sample i of an epoch: packing sorts equal lengths by a random key, then the epoch is shuffled."""
    packing = Stream(SEED, 4)
    rows = sorted(range(num_rows), key=packing.bits)
    place = permutation(num_rows, Stream(SEED, 2, epoch))
    return [rows[place(i)] for i in range(num_rows)]


def run(*arguments):
    result = subprocess.run(arguments, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: exit code {result.returncode}\n{result.stderr}")
    return result.stdout


def make_inputs(folder, dslite):
    rng = random.Random(1)
    digits = lambda: "".join(str((i * rng.choice((1, 2, 3)) + rng.randrange(2)) % 10) for i in range(LENGTH - 1))
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": digits()}) + "\n" for _ in range(160)))
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    (folder / "words.txt").write_text(" ".join("".join(rng.choices(syllables, k=3)) for _ in range(20000)))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    run(dslite, "tokenizer", "train", "--vocab-size", "320", "--output", folder / "tokenizer", folder / "words.txt")
    run(dslite, "init", "--config", folder / "config.json", "--tokenizer", folder / "tokenizer", "--output", folder / "model")
    run(dslite, "prepare", "--tokenizer", folder / "tokenizer", "--output", folder / "train.h5", folder / "train.jsonl")
    step = LENGTH * ROWS_PER_STEP
    (folder / "recipe.toml").write_text(RECIPE.format(folder, LENGTH, step, step // MICRO_BATCHES, RATE, WARMUP, ALPHA, SEED, step * STEPS))
    with h5py.File(folder / "train.h5", locking=False) as file:
        tokens, offsets = file["tokens"][:].astype(np.int64), file["document_offsets"][:]
    documents = [tokens[a:b] for a, b in zip(offsets, offsets[1:])]
    assert all(len(d) == LENGTH + 1 for d in documents), "a document does not fill its row"
    return torch.tensor(np.stack(documents))


def rate_of(step):
    if step <= WARMUP:
        return RATE * step / WARMUP
    seen = (step - 1) / STEPS
    return RATE * 0.316 ** sum(seen >= at for at in (0.6, 0.8))


def balance_terms(probabilities, indices, segments):
    """sum over segments of T_s * sum_e f_e P_e (arXiv:2405.04434, eq. 23-25)."""
    experts, chosen, total = probabilities.shape[-1], indices.shape[-1], 0.0
    for p, i in zip(probabilities.view(segments, -1, experts), indices.view(segments, -1, chosen)):
        tokens = p.shape[0]
        f = torch.bincount(i.reshape(-1), minlength=experts).to(p.dtype) * experts / (chosen * tokens)
        total = total + tokens * (f * p.mean(0)).sum()
    return total


def train(folder, documents, experts):
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, attn_implementation="eager", experts_implementation=experts)
    model.train()
    captured = []

    def on_gate(module, inputs, output):
        logits = torch.nn.functional.linear(inputs[0].reshape(-1, CONFIG["hidden_size"]).float(), module.weight.float())
        captured.append((logits.softmax(-1), logits.softmax(-1).topk(CONFIG["num_experts_per_tok"]).indices))

    for layer in model.model.layers[1:]:
        layer.mlp.gate.register_forward_hook(on_gate)
    groups = [dict(params=[p for p in model.parameters() if p.ndim >= 2], weight_decay=0.1), dict(params=[p for p in model.parameters() if p.ndim < 2], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8)
    losses, per_epoch = [], len(documents)
    order = [d for epoch in range(1 + STEPS * ROWS_PER_STEP // per_epoch) for d in row_order(per_epoch, epoch)]
    tokens_per_step = ROWS_PER_STEP * LENGTH
    for step in range(1, STEPS + 1):
        rows = documents[order[(step - 1) * ROWS_PER_STEP:step * ROWS_PER_STEP]]
        loss_sum = 0.0
        optimizer.zero_grad()
        for micro in rows.chunk(MICRO_BATCHES):
            captured.clear()
            logits = model(input_ids=micro[:, :-1], use_cache=False).logits.float()
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), micro[:, 1:].reshape(-1), reduction="sum") / tokens_per_step
            balance = sum(balance_terms(p, i, len(micro)) for p, i in captured) / tokens_per_step
            (loss + ALPHA * balance).backward()
            loss_sum += loss.item()
        norm = math.sqrt(sum(p.grad.double().square().sum().item() for p in model.parameters() if p.grad is not None))
        for p in model.parameters():
            if p.grad is not None and norm > 1.0:
                p.grad.mul_(1.0 / norm)
        for group in optimizer.param_groups:
            group["lr"] = rate_of(step)
        optimizer.step()
        losses.append(loss_sum)
    return losses, {name: value.detach().clone() for name, value in model.state_dict().items()}


def distance(a, b):
    losses = max(abs(x - y) / abs(y) for x, y in zip(a[0], b[0]))
    weights = max((a[1][n].double() - b[1][n].double()).norm().item() / b[1][n].double().norm().item() for n in b[1])
    return losses, weights


def per_expert(weights):
    """transformers' stacked experts under the Hugging Face per-expert names."""
    out = {}
    for name, value in weights.items():
        if name.endswith("mlp.experts.gate_up_proj"):
            for e, w in enumerate(value):
                half = w.shape[0] // 2
                out[name.replace("gate_up_proj", f"{e}.gate_proj.weight")], out[name.replace("gate_up_proj", f"{e}.up_proj.weight")] = w[:half], w[half:]
        elif name.endswith("mlp.experts.down_proj"):
            for e, w in enumerate(value):
                out[name.replace("down_proj", f"{e}.down_proj.weight")] = w
        else:
            out[name] = value
    return out


def main():
    dslite = sys.argv[1] if len(sys.argv) > 1 else "build/release/src/dslite"
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        documents = make_inputs(folder, dslite)
        run(dslite, "train", folder / "recipe.toml")
        metrics = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
        run(dslite, "export", "--run", folder / "run", "--output", folder / "export")
        ours = ([m["loss"] for m in metrics if "loss" in m], load_file(folder / "export/model.safetensors"))
        eager, grouped = [(losses, per_expert(weights)) for losses, weights in (train(folder, documents, e) for e in ("eager", "grouped_mm"))]
    assert len(ours[0]) == STEPS and set(ours[1]) == set(eager[1]), set(ours[1]) ^ set(eager[1])
    own, found = distance(grouped, eager), distance(ours, eager)
    print(f"loss {ours[0][0]:.4f} -> {ours[0][-1]:.4f} over {STEPS} steps")
    failed = False
    for what, mine, theirs in zip(("losses (relative)", "weights (relative norm, worst tensor)"), found, own):
        bound = max(1e-5, 10 * theirs)
        failed |= not mine <= bound
        print(f"{what}: dslite against eager {mine:.2e}, grouped against eager {theirs:.2e}, bound {bound:.2e}: {'ok' if mine <= bound else 'MISSED'}")
    sys.exit(failed)


main()

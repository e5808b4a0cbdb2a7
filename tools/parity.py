"""Holds `dslite probe` to transformers, and to plain fp64 loops where transformers implements less.

Also writes the goldens of tests/train/parity_test.cpp.

usage: tools/oracle.sh tools/parity.py [--dslite BINARY] [--goldens tests/golden/parity] [CASE...]
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from parity_cases import BF16_LENGTHS, CASES, IN_TRANSFORMERS, config_of, documents_of, mixed, weights_of  # noqa: E402
from plain_deepseek_v2 import run_plain  # noqa: E402
from transformers_oracle import run_transformers  # noqa: E402

SMALLEST_GAP = 4e-6  # between the last expert (or group) chosen and the first left out
failures = 0


def check(what, value, limit):
    global failures
    ok = value <= limit
    failures += not ok
    print(f"  {what:44} {value:9.2e}  limit {limit:.1e}  {'ok' if ok else 'FAILED'}", flush=True)


def relative(actual, expected):
    expected = expected.double()
    size = expected.norm().item()
    return (actual.double() - expected).norm().item() / size if size else actual.double().norm().item()


def oracle(name, config, weights, documents, loss_weights):
    run = run_transformers if name in IN_TRANSFORMERS else run_plain
    return run(config, weights, documents, loss_weights, config["aux_loss_alpha"])


def find_seed(name):
    """The first seed without a near tie: a rounding error would not be an error of the choice."""
    config, lengths = config_of(name), CASES[name][1]
    for seed in range(100):
        weights = weights_of(config, seed)
        documents, loss_weights = documents_of(config, lengths, seed)
        result = oracle(name, config, weights, documents, loss_weights)
        if result["gap"] > SMALLEST_GAP:
            return seed, weights, documents, loss_weights, result
    raise SystemExit(f"{name}: no seed without a near tie")


def probe(binary, config, weights, documents, loss_weights, options):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "model").mkdir()
        (path / "model/config.json").write_text(json.dumps(config))
        save_file({n: w.contiguous() for n, w in weights.items()}, path / "model/model.safetensors", {"format": "pt"})
        (path / "tokens.json").write_text(json.dumps({"documents": documents, "loss_weight": loss_weights}))
        output = path / "out.safetensors"
        command = [binary, "probe", "--model", path / "model", "--tokens", path / "tokens.json", "--output", output]
        subprocess.run([*map(str, command), *options], check=True)
        return load_file(output)


def compare(probed, expected, names):
    largest = expected["logits"].abs().max().item()
    check("logits, of the largest", (probed["logits"] - expected["logits"]).abs().max().item() / largest, 2e-5)
    check("loss, relative", abs(probed["loss"].item() / expected["loss"] - 1), 1e-6)
    for i, balance in enumerate(expected["balance_loss"]):
        check(f"balance loss {i}, relative", abs(probed["balance_loss"][i].item() / balance - 1), 2e-6)
    for layer, (indices, weights) in expected["router"].items():
        check(f"router {layer}: choices that differ", (probed[f"router.{layer}.indices"] != indices).sum().item(), 0)
        check(f"router {layer}: weights", relative(probed[f"router.{layer}.weights"], weights), 1e-5)
    errors = {n: relative(probed["grad." + n], expected["gradients"][n]) for n in names}
    worst = max(errors, key=errors.get)
    check(f"gradient {worst}", errors[worst], 2e-5)
    # Rows of zeros (experts without tokens, ids that do not occur) are exact.
    zeros = sum(probed["grad." + n][(g == 0).all(-1)].count_nonzero().item() for n, g in expected["gradients"].items())
    check("elements not zero where a row is zero", zeros, 0)
    routers = {f"router.{n}.{kind}" for n in expected["router"] for kind in ("indices", "weights")}
    assert set(probed) == {"logits", "loss", "balance_loss"} | routers | {"grad." + n for n in names}


def check_packing(binary, config, weights, documents, loss_weights, together):
    """A packed probe equals the separate documents bit for bit."""
    begin = 0
    for ids, weight in zip(documents, loss_weights):
        alone = probe(binary, config, weights, [ids], [weight], [])
        end = begin + len(ids)
        keys = [key for key in alone if key == "logits" or key.startswith("router")]
        same = all(torch.equal(together[key][begin:end], alone[key]) for key in keys)
        check(f"document at {begin}: differs from itself alone", int(not same), 0)
        begin = end


def check_variants(binary, config, weights, documents, loss_weights, base):
    options = ["--gradients", "--micro-batches", str(len(documents))]
    split = probe(binary, config, weights, documents, loss_weights, options)
    check("micro-batches: loss", abs(split["loss"].item() / base["loss"].item() - 1), 1e-6)
    worst = max(relative(split[key], value) for key, value in base.items() if key.startswith("grad."))
    check("micro-batches: gradients", worst, 1e-5)
    if max(map(len, documents)) < 1000:
        decoded = probe(binary, config, weights, documents, loss_weights, ["--decode"])
        difference = (decoded["logits"] - base["logits"]).abs().max() / base["logits"].abs().max()
        check("decoded logits, of the largest", difference.item(), 1e-5)


def num_flips(actual, expected):
    """Tokens whose set of experts differs."""
    return (actual.sort().values != expected.sort().values).any(-1).sum().item()


def bf16_case(name):
    """A fresh model and documents whose choices transformers' bf16 leaves as its fp32 makes them; and both results."""
    config = config_of(name)
    for seed in range(300):
        weights = weights_of(config, seed, fresh=True)
        documents, loss_weights = documents_of(config, BF16_LENGTHS[name], seed)
        arguments = config, weights, documents, loss_weights
        exact = run_transformers(*arguments, config["aux_loss_alpha"])
        if exact["gap"] < 1e-3:
            continue
        theirs = run_transformers(*arguments, config["aux_loss_alpha"], torch.bfloat16)
        if sum(num_flips(theirs["router"][n][0], indices) for n, (indices, _) in exact["router"].items()) == 0:
            return seed, arguments, exact, theirs
    raise SystemExit(f"{name}: no seed whose choices bf16 leaves")


def check_bf16(binary, name):
    """Our bf16 and transformers' bf16, both measured from transformers' fp32."""
    seed, arguments, exact, theirs = bf16_case(name)
    ours = probe(binary, *arguments, ["--gradients", "--dtype", "bfloat16"])
    flips = sum(num_flips(ours[f"router.{n}.indices"], indices) for n, (indices, _) in exact["router"].items())
    check(f"bf16, seed {seed}: tokens whose choices differ", flips, 0)
    pairs = {"logits": (ours["logits"], theirs["logits"], exact["logits"])}
    pairs |= {n: (ours["grad." + n], theirs["gradients"][n], g) for n, g in exact["gradients"].items()}
    shares = {n: relative(o, e) / max(relative(t, e), 1e-12) for n, (o, t, e) in pairs.items() if e.count_nonzero()}
    check("bf16 logits, share of transformers' error", shares.pop("logits"), 1.5)
    worst = max(shares, key=shares.get)
    print(f"  bf16 gradients: median share {np.median(list(shares.values())):.2f} of {len(shares)} tensors")
    check(f"bf16 {worst}, share", shares[worst], 1.5)
    pairs.pop("logits")
    own, other, exact_all = (torch.cat([p[i].flatten().double() for p in pairs.values()]) for i in range(3))
    print(f"  bf16 gradient of all tensors, transformers:    {relative(other, exact_all):.2e}")
    check("bf16 gradient of all tensors", relative(own, exact_all), 2e-2)


def projections(name, tensor, seed):
    """Norm, and two sums with random signs: every element counts."""
    values = tensor.double().flatten().numpy()
    bits = mixed("sign:" + name, seed, len(values))
    signs = [1.0 - 2.0 * ((bits >> np.uint64(shift)) & np.uint64(1)).astype(np.float64) for shift in (0, 1)]
    return [float(f"{v:.10g}") for v in (np.linalg.norm(values), *(values @ s for s in signs))]


def write_golden(path, name, seed, config, result):
    logits = result["logits"]
    golden = {
        "seed": seed,
        "oracle": "transformers 5.23.0" if name in IN_TRANSFORMERS else "plain fp64 loops",
        "config": config,
        "lengths": CASES[name][1],
        "loss": result["loss"],
        "balance_loss": result["balance_loss"],
        "logits": [float(f"{logits.abs().max().item():.10g}"), *projections("logits", logits, seed)],
        "router": {
            str(n): {"indices": "".join(map(str, i.flatten().tolist())), "weights": projections(f"router.{n}", w, seed)}
            for n, (i, w) in result["router"].items()
        },
        "gradients": {n: projections(n, g, seed) for n, g in result["gradients"].items()},
    }
    text = json.dumps(golden, separators=(",", ":")).replace('"model.', '\n"model.')
    (path / f"{name}.json").write_text(text + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dslite", help="the binary to check")
    parser.add_argument("--goldens", type=pathlib.Path, help="folder to write")
    parser.add_argument("--bf16-only", action="store_true")
    parser.add_argument("cases", nargs="*", default=list(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    for name in arguments.cases or CASES:
        if arguments.bf16_only:
            print(f"{name}", flush=True)
            if name in BF16_LENGTHS:
                check_bf16(arguments.dslite, name)
            continue
        config = config_of(name)
        seed, weights, documents, loss_weights, result = find_seed(name)
        source = "transformers" if name in IN_TRANSFORMERS else "plain fp64 loops"
        tokens, gap = sum(map(len, documents)), result["gap"]
        print(f"{name}: {tokens} tokens, seed {seed}, smallest gap {gap:.1e}, against {source}", flush=True)
        if arguments.goldens:
            arguments.goldens.mkdir(parents=True, exist_ok=True)
            write_golden(arguments.goldens, name, seed, config, result)
        if not arguments.dslite:
            continue
        base = probe(arguments.dslite, config, weights, documents, loss_weights, ["--gradients"])
        compare(base, result, weights)
        check_packing(arguments.dslite, config, weights, documents, loss_weights, base)
        check_variants(arguments.dslite, config, weights, documents, loss_weights, base)
        if name in BF16_LENGTHS:
            check_bf16(arguments.dslite, name)
    print(f"{failures} comparisons failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())

"""Training speed and memory of dslite and of transformers on the same slice of DeepSeek-V2-Lite, in alternation.

usage: tools/oracle.sh tools/bench_train_vs_transformers.py [--dslite build/release/src/dslite] [--layers 3] [--tokens 2048]
                                                           [--steps 3] [--rounds 3] [--dtype bfloat16]

Both take whole steps on one segment of random tokens: forward, backward, clip to norm 1, AdamW. dslite trains bf16
weights with split fp32 masters, fp32 gradients and bf16 moments (12 bytes a parameter); transformers trains as it does
by default, all bf16 (8 bytes a parameter), or both all in fp32 (16): attention sdpa, experts grouped_mm, torch's fused AdamW, on huge pages. Each round runs one
after the other in processes of their own, with the same number of threads. Printed: the median step of all rounds, its
share of the peak that dslite measured, peak resident memory, and the ratios, with the optimizer and without it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time


def slice_of_v2_lite(layers):
    from transformers import DeepseekV2Config

    return DeepseekV2Config(
        vocab_size=32000, hidden_size=2048, num_hidden_layers=layers, num_attention_heads=16, num_key_value_heads=16,
        intermediate_size=10944, moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2,
        num_experts_per_tok=6, first_k_dense_replace=1, q_lora_rank=None, kv_lora_rank=512, qk_nope_head_dim=128,
        qk_rope_head_dim=64, v_head_dim=128, topk_method="greedy", n_group=1, topk_group=1, norm_topk_prob=False,
        routed_scaling_factor=1.0, max_position_embeddings=163840, tie_word_embeddings=False, use_cache=False,
        rope_parameters={"rope_type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707,
                         "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "rope_theta": 10000.0},
        attn_implementation="sdpa", experts_implementation="grouped_mm")


def fill(parameters):
    """Normal numbers from one table, each tensor from another place in it: seconds instead of minutes."""
    import torch

    table = 0.02 * torch.randn((1 << 20) + 7, dtype=torch.float32).to(torch.get_default_dtype())
    place = 0
    for parameter in parameters:
        if parameter.dim() == 1:
            parameter.fill_(1)
            continue
        flat = parameter.view(-1)
        for begin in range(0, flat.numel(), table.numel()):
            count = min(table.numel(), flat.numel() - begin)
            flat[begin:begin + count] = table.roll(-place)[:count]
            place = (place + 7919) % table.numel()


def run_transformers(arguments):
    """One process's worth of transformers: prints one JSON object."""
    import torch
    from transformers import DeepseekV2ForCausalLM
    from transformers.initialization import no_init_weights

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, arguments.dtype)
    torch.set_default_dtype(dtype)
    with no_init_weights():
        model = DeepseekV2ForCausalLM(slice_of_v2_lite(arguments.layers))
    with torch.no_grad():
        fill(model.parameters())
    assert model.config._attn_implementation == "sdpa" and model.config._experts_implementation == "grouped_mm"
    assert all(parameter.dtype == dtype for parameter in model.parameters())
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(0, 32000, (1, arguments.tokens))
    gradient_seconds, step_seconds, losses = [], [], []
    for step in range(arguments.steps + 1):  # the first warms up
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        middle = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        end = time.perf_counter()
        losses.append(loss.item())
        print(f"transformers: step {step} of {arguments.steps}, {end - start:.2f} s, loss {losses[-1]:.3f}", file=sys.stderr)
        if step > 0:
            gradient_seconds.append(middle - start)
            step_seconds.append(end - start)
    print(json.dumps({"step_seconds": statistics.median(step_seconds),
                      "gradient_seconds": statistics.median(gradient_seconds),
                      "parameters": sum(parameter.numel() for parameter in model.parameters()),
                      "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def json_of(command, environment=None):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dslite", default="build/release/src/dslite")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a round, after one that warms up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only-transformers", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_transformers:
        return run_transformers(arguments)

    huge_pages = {**os.environ, "THP_MEM_ALLOC_ENABLE": "1"}  # as dslite sets it for itself
    shape = [f"--{name}={getattr(arguments, name)}" for name in ("layers", "tokens", "steps", "threads", "dtype")]
    ours, theirs, peaks, products = [], [], [], []
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
        report = json_of([arguments.dslite, "bench", "train", "--json", *shape])
        ours.append(report["train"])
        peaks.append(report["machine"]["peak_flops_per_second"][arguments.dtype])
        products.append(report["train"]["at_mm_flops_per_second"])
        theirs.append(json_of([sys.executable, __file__, "--only-transformers", *shape], huge_pages))
    assert ours[0]["parameters"] == theirs[0]["parameters"], "not the same model"

    flops, peak = ours[0]["flops_per_token"] * arguments.tokens, max(peaks)
    product = statistics.median(products)
    print(f"{arguments.layers} layers of V2-Lite, {ours[0]['parameters'] / 1e9:.2f}B parameters, {arguments.tokens} tokens a "
          f"step, {arguments.threads} threads, peak {peak * 1e-9:.1f} GF/s {arguments.dtype}, at::mm "
          f"{product * 1e-9:.1f}; medians of {arguments.rounds} rounds")
    print(f"load average {os.getloadavg()[0]:.1f} (the work itself gives {arguments.threads})")
    rows = {}
    for name, results in (("dslite", ours), ("transformers", theirs)):
        step = statistics.median(result["step_seconds"] for result in results)
        gradients = statistics.median(result["gradient_seconds"] for result in results)
        memory = max(result["peak_resident_bytes"] for result in results)
        rows[name] = (step, gradients, memory)
        print(f"{name:13} {step:7.2f} s a step, {arguments.tokens / step:7.1f} tokens/s ({flops / step / peak:4.0%} of the peak); "
              f"{min(r['step_seconds'] for r in results):.2f} .. {max(r['step_seconds'] for r in results):.2f} s; "
              f"forward and backward alone {gradients:7.2f} s, {arguments.tokens / gradients:7.1f} tokens/s "
              f"({flops / gradients / peak:4.0%} of the peak, {flops / gradients / product:4.0%} of at::mm); peak memory {memory / 2**30:5.2f} GiB")
    (step, gradients, memory), (their_step, their_gradients, their_memory) = rows["dslite"], rows["transformers"]
    print(f"dslite is {their_step / step:.2f} times as fast with the optimizer, {their_gradients / gradients:.2f} times "
          f"without it, and takes {memory / their_memory:.2f} times the memory")


if __name__ == "__main__":
    main()

"""Everything that a probe prints, by transformers' DeepSeek-V2, with the balance loss added from its router logits."""
import re

import torch
import transformers
from transformers.models.deepseek_v2.modeling_deepseek_v2 import (
    DeepseekV2ForCausalLM,
    DeepseekV2TopkRouter,
    yarn_apply_mscale,
)

transformers.logging.set_verbosity_error()
assert yarn_apply_mscale  # releases without it have a wrong softmax scale


def stacked(weights):
    """Per-expert names to transformers' stacked ones."""
    out, experts = {}, {}
    for name, value in weights.items():
        found = re.fullmatch(r"(.*mlp\.experts\.)(\d+)\.(\w+)_proj\.weight", name)
        if found:
            experts.setdefault(found[1], {})[int(found[2]), found[3]] = value
        else:
            out[name] = value
    for prefix, parts in experts.items():
        count = max(e for e, _ in parts) + 1
        gate_up = [torch.cat([parts[e, "gate"], parts[e, "up"]]) for e in range(count)]
        out[prefix + "gate_up_proj"] = torch.stack(gate_up)
        out[prefix + "down_proj"] = torch.stack([parts[e, "down"] for e in range(count)])
    return out


def build(config, weights, dtype):
    fields = {k: v for k, v in config.items() if k not in ("architectures", "model_type", "torch_dtype")}
    hf_config = transformers.DeepseekV2Config(**fields)
    hf_config._attn_implementation = "eager"
    hf_config._experts_implementation = "eager"
    model = DeepseekV2ForCausalLM(hf_config)
    state = stacked(weights)
    if config["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and not [m for m in missing if "inv_freq" not in m], (missing, unexpected)
    return model.to(dtype).train()


def gradients_of(model, names):
    """By per-expert name."""
    parameters = dict(model.named_parameters())
    out = {}
    for name in names:
        found = re.fullmatch(r"(.*mlp\.experts\.)(\d+)\.(\w+)_proj\.weight", name)
        source, rows = name, slice(None)
        if found:
            prefix, expert, part = found[1], int(found[2]), found[3]
            source = prefix + ("down_proj" if part == "down" else "gate_up_proj")
        parameter = parameters[source]
        grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        if found:
            grad = grad[expert]
            half = grad.shape[0] // 2
            rows = {"down": slice(None), "gate": slice(0, half), "up": slice(half, None)}[part]
        out[name] = grad[rows].float()
    return out


def run_transformers(config, weights, documents, loss_weights, alpha, dtype=torch.float32):
    model = build(config, weights, dtype)
    recorded = []
    for name, module in model.named_modules():
        if isinstance(module, DeepseekV2TopkRouter):
            layer = int(re.search(r"layers\.(\d+)\.", name)[1])
            module.register_forward_hook(lambda _m, _i, out, layer=layer: recorded.append((layer, *out)))
    tokens, target = sum(map(len, documents)), sum(sum(w[1:]) for w in loss_weights)
    experts, k = config["n_routed_experts"], config["num_experts_per_tok"]
    logits, loss, total, layers, gap = [], 0.0, 0.0, {}, 1.0
    for ids, weight in zip(documents, loss_weights):
        recorded.clear()
        rows = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        logits.append(rows.detach().float())
        if len(ids) > 1 and target > 0:
            entropy = torch.nn.functional.cross_entropy(rows[:-1].float(), torch.tensor(ids[1:]), reduction="none")
            loss = loss + (entropy.double() * torch.tensor(weight[1:], dtype=torch.float64)).sum() / target
        for layer, router_logits, weights_, indices in recorded:
            probabilities = router_logits.softmax(-1)
            chosen_p, order = probabilities.detach().gather(1, indices).sort(dim=1, descending=True, stable=True)
            indices, weights_ = indices.gather(1, order), weights_.gather(1, order)
            gap = min(gap, smallest_gap(config, probabilities.detach(), chosen_p))
            f = torch.bincount(indices.flatten(), minlength=experts) * (experts / (k * len(ids)))
            balance = len(ids) * (f * probabilities.mean(0)).sum()
            entry = layers.setdefault(layer, {"indices": [], "weights": [], "balance": 0.0})
            entry["indices"].append(indices)
            entry["weights"].append(weights_.detach())
            entry["balance"] += balance.item() / tokens
            total = total + alpha * balance / tokens
    (loss + total).backward()
    return {
        "logits": torch.cat(logits),
        "loss": loss.item() if torch.is_tensor(loss) else loss,
        "balance_loss": [layers[layer]["balance"] for layer in sorted(layers)],
        "router": {n: (torch.cat(e["indices"]), torch.cat(e["weights"])) for n, e in layers.items()},
        "gradients": gradients_of(model, weights),
        "gap": gap,
    }


def smallest_gap(config, probabilities, chosen):
    """Between what was kept and the first left out: of experts, and of groups."""
    gap = 1.0
    allowed = probabilities
    if config["topk_method"] == "group_limited_greedy":
        groups = probabilities.view(len(probabilities), config["n_group"], -1)
        scores = groups.max(-1).values.sort(1, descending=True)
        kept = config["topk_group"]
        gap = (scores.values[:, kept - 1] - scores.values[:, kept]).min().item()
        mask = torch.zeros_like(groups[..., 0]).scatter_(1, scores.indices[:, :kept], 1)
        allowed = (groups * mask[..., None]).flatten(1)
    ordered = allowed.sort(1, descending=True).values
    k = chosen.shape[1]
    return min(gap, (ordered[:, k - 1] - ordered[:, k]).min().item())

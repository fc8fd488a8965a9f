#!/usr/bin/env python3
"""Trains one rival for a few steps and prints what each step took, as one JSON line.

Runs in the virtual environment that peers.py makes. A step is what smartbird's is: forward, loss over all tokens, backward,
AdamW, in float32, one sequence, no gradient checkpointing, no dropout. Weights are random; nothing is downloaded.
"""
import argparse
import json
import time

import torch
import transformers

VOCABULARY = 258  # bytes, separator, mask: smartbird's byte tokenizer


def longformer(shape, tokens):
    config = transformers.LongformerConfig(
        attention_window=[shape["window"]] * shape["layers"], max_position_embeddings=tokens + 2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=1, **common(shape, 4 * shape["width"]))
    return transformers.LongformerForMaskedLM(config)  # positions count from pad_token_id + 1; no text holds byte 1


def bigbird(shape, tokens):
    config = transformers.BigBirdConfig(
        attention_type="block_sparse", block_size=shape["block"], num_random_blocks=3, max_position_embeddings=tokens,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=VOCABULARY - 1, **common(shape, 4 * shape["width"]))
    return transformers.BigBirdForMaskedLM(config)


def modernbert(shape, tokens):
    config = transformers.ModernBertConfig(
        global_attn_every_n_layers=1, max_position_embeddings=tokens, reference_compile=False, pad_token_id=VOCABULARY - 1,
        bos_token_id=None, eos_token_id=None, cls_token_id=None, sep_token_id=None, attn_implementation="sdpa",
        **common(shape, shape["gated_width"]))
    model = transformers.ModernBertForMaskedLM(config)
    # Nothing is padded: without this its forward would build masks of N x N, and its attention would read them.
    model.model._update_attention_mask = lambda mask, output_attentions: (None, None)
    return model


def llama(shape, tokens):
    """Dense and causal: stands in where ModernBERT cannot be built."""
    config = transformers.LlamaConfig(
        max_position_embeddings=tokens, attn_implementation="sdpa", use_cache=False, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None, **common(shape, shape["gated_width"]))
    return transformers.LlamaForCausalLM(config)


def common(shape, mlp_width):
    return {"vocab_size": VOCABULARY, "num_hidden_layers": shape["layers"], "hidden_size": shape["width"],
            "num_attention_heads": shape["heads"], "intermediate_size": mlp_width}


def build(name, shape, tokens):
    """The model and what it really is."""
    transformers.logging.set_verbosity_error()
    if name != "modernbert":
        return {"longformer": longformer, "bigbird": bigbird}[name](shape, tokens), name
    try:
        return modernbert(shape, tokens), name
    except (AttributeError, TypeError, ValueError) as error:
        print(f"ModernBERT cannot be built ({error}); dense Llama instead")
        return llama(shape, tokens), "llama"


def train(model, ids, steps):
    """Milliseconds of each step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    model.train()
    took_ms = []
    for _ in range(steps):
        begin = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        took_ms.append((time.perf_counter() - begin) * 1e3)
    assert torch.isfinite(loss), f"the loss is {loss.item()}"
    return took_ms


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["longformer", "bigbird", "modernbert"])
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--shape", type=json.loads, required=True, help="JSON: layers, width, heads, gated_width, window, block")
    parser.add_argument("--text", required=True, help="file whose first bytes are the sequence")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    model, what = build(a.name, a.shape, a.tokens)
    with open(a.text, "rb") as file:
        ids = torch.frombuffer(bytearray(file.read(a.tokens)), dtype=torch.uint8).long().unsqueeze(0)
    took_ms = train(model, ids, a.steps)
    print(json.dumps({"model": what, "parameters": sum(p.numel() for p in model.parameters()), "step_ms": took_ms,
                      "versions": {"torch": torch.__version__, "transformers": transformers.__version__}}))


if __name__ == "__main__":
    main()

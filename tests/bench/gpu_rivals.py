#!/usr/bin/env python3
"""Times PyTorch's dense attention on this GPU, forward and forward with backward, a JSON line each.   gpu_rivals.py TOKENS...

scaled_dot_product_attention by its flash and cuDNN back ends, and FlexAttention compiled without a mask; one sequence, not causal,
8 heads of 64, bfloat16. The median of runs between CUDA events after two that warm up.
"""
import json
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

HEADS, WIDTH = 8, 64


def median_ms(work, runs):
    times = []
    for run in range(-2, runs):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        if run >= 0:
            times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def measure(name, tokens, attend):
    q, k, v, grad = (torch.randn(1, HEADS, tokens, WIDTH, device="cuda", dtype=torch.bfloat16) for _ in range(4))
    runs = 9 if tokens <= 65536 else 3
    try:
        with torch.no_grad():
            forward = median_ms(lambda: attend(q, k, v), runs)
        for x in (q, k, v):
            x.requires_grad_(True)

        def both():
            for x in (q, k, v):
                x.grad = None
            attend(q, k, v).backward(grad)

        print(json.dumps({"tokens": tokens, "rival": name, "forward_ms": forward, "both_ms": median_ms(both, runs)}), flush=True)
    except Exception as error:  # a back end that cannot do this shape
        print(json.dumps({"tokens": tokens, "rival": name, "error": str(error).split("\n")[0][:200]}), flush=True)


def by(backend):
    def attend(q, k, v):
        with sdpa_kernel(backend):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return attend


def main():
    flex = None
    try:
        from torch.nn.attention.flex_attention import flex_attention
        flex = torch.compile(flex_attention)
    except ImportError:
        pass
    for tokens in map(int, sys.argv[1:]):
        measure("SDPA flash", tokens, by(SDPBackend.FLASH_ATTENTION))
        measure("SDPA cuDNN", tokens, by(SDPBackend.CUDNN_ATTENTION))
        if flex and tokens <= 65536:
            measure("FlexAttention", tokens, flex)


if __name__ == "__main__":
    main()

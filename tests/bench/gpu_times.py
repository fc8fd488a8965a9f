#!/usr/bin/env python3
"""Predicts what the GPU kernels take on an H100, from their machine code, beside the floor of each. No GPU is needed, only nvcc and
nvdisasm (in the toolkit, or pip install nvidia-cuda-nvdisasm; on PATH or in NVDISASM).   gpu_times.py

Shape: 65,536 tokens, not causal, 8 heads of 64, 64 picks a row and head, sketch width 32, query block 1, 64 rows share numbers, bfloat16.
Of every kernel the likeliest path through the machine code is followed (branches go where the work is), loops as often as the shape
says, and each instruction is charged to its pipe. The prediction is the busiest of: issue slots, each pipe, bytes from the L2 cache,
bytes from memory. It knows no latency: it holds where enough warps are in flight.
"""
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLOCK, PARTITIONS = 1.755e9, 4 * 132  # an SM has four partitions, each with its own issue slot
L2, MEMORY = 5.5e12, 3.0e12           # bytes a second; the first not measured
TOKENS, HEADS, WIDTH, PICKS, SKETCH = 65536, 8, 64, 64, 32

# Cycles of a partition that a warp's instruction keeps a pipe busy.
PIPES = [("tensor", r"HMMA", 6.5), ("mufu", r"MUFU|I2F|F2I", 8), ("fp64", r"D(ADD|MUL|FMA|SETP)|F2F", 2),
         ("fma", r"F(FMA|ADD|MUL)|HFMA2", 1), ("fma", r"IMAD", 1), ("lsu", r"(LDG|LDS|STG|STS).*128", 16),
         ("lsu", r"LD|ST|SHFL|ATOM|RED", 4), ("alu", r"VOTE|IADD|LOP|ISETP|FSETP|SEL|FSEL|SHF|PRMT|LEA|FMNMX|IMNMX|POPC|PLOP|I", 2)]
# Instructions that the path must not miss, and the share of the time that it goes there. Among 32 keys a row exceeds some head's
# number with probability HIT, a given head's with HEAD_HIT.
HIT, HEAD_HIT = 1 - (1 - PICKS / TOKENS) ** (32 * HEADS), 1 - (1 - PICKS / TOKENS) ** 32
PATHS = {"sketch_scan": [(r"HMMA|MUFU\.EX2", 1)],
         "draw": [("HMMA|VOTE", 1 - HEAD_HIT / HIT), ("HMMA|VOTE|POPC", HEAD_HIT / HIT)]}
GATHER = [(r"LDG\S*\.128|STG", 1)]


class Code:
    """The instructions of a function: (opcode, branch target or None, whether it may fall through)."""

    def __init__(self, lines):
        self.ops, labels, targets = [], {}, []
        for line in lines:
            label = re.match(r"(\.L_x_\d+):", line)
            if label:
                labels[label[1]] = len(self.ops)
            found = re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(@\S+\s+)?(\S+)(.*);", line)
            if found:
                jump = re.search(r"\((\.L_x_\d+)\)", found[3]) if found[2] == "BRA" else None
                ends = found[1] is None and re.fullmatch(r"BRA|EXIT|RET.*|BRX.*", found[2]) is not None
                self.ops.append((found[2], jump and jump[1], not ends))
        self.ops = [(op, labels.get(jump), falls) for op, jump, falls in self.ops]
        loops = sorted({(jump, max(j for j, (_, t, _) in enumerate(self.ops) if t == jump))
                             for i, (_, jump, _) in enumerate(self.ops) if jump is not None and jump < i})
        # Code that lies behind the function's end and jumps back into a loop makes none.
        self.loops = [(h, t) for h, t in loops if not any(a < h <= b < t for a, b in loops)]

    def inner(self, begin, end):
        """Outermost loops strictly inside [begin, end]."""
        inside = [l for l in self.loops if begin <= l[0] and l[1] <= end and l != (begin, end)]
        return [l for l in inside if not any(o != l and o[0] <= l[0] and l[1] <= o[1] for o in inside)]

    def mixed(self, paths, times):
        """Cycles by pipe of the whole function, over its paths."""
        out = collections.Counter()
        for work, share in paths:
            self.work = re.compile(work)
            for pipe, cycles in self.cost(0, len(self.ops) - 1, times).items():
                out[pipe] += share * cycles
        return out

    def cost(self, begin, end, times, depth=0):
        """Cycles by pipe along the path that does the most work, of those the shortest. times(depth, ops of a loop) -> how often."""
        loops = {l[0]: l for l in self.inner(begin, end)}
        best = {begin: (0, 0, collections.Counter())}
        last = (-1, 0, collections.Counter())
        for i in range(begin, end + 1):
            if i not in best:
                continue
            work, length, pipes = best[i]
            if i in loops:
                head, tail = loops[i]
                n = times(depth, [op for op, _, _ in self.ops[head:tail + 1]])
                inside = self.cost(head, tail, times, depth + 1) if n else collections.Counter()
                step = (work + 1, length, pipes + collections.Counter({k: v * n for k, v in inside.items()}))
                nexts = [tail + 1]
            else:
                op, jump, falls = self.ops[i]
                more = collections.Counter(issue=1)
                for pipe, pattern, cycles in PIPES:
                    if re.match(pattern, op):
                        more[pipe] += cycles
                        break
                step = (work + bool(self.work.match(op)), length + 1, pipes + more)
                nexts = [i + 1] * falls + [jump] * (jump is not None and jump > i)
                if not falls and not nexts or i == end or jump == begin:
                    last = max(last, step, key=lambda s: (s[0], -s[1]))
            for to in nexts:
                if to <= end and (to not in best or (best[to][0], -best[to][1]) < (step[0], -step[1])):
                    best[to] = step
                elif to > end:
                    last = max(last, step, key=lambda s: (s[0], -s[1]))
        return last[2]


def has(ops, pattern):
    return any(re.match(pattern, op) for op in ops)


def scan_loops(depth, ops):
    if depth == 0:
        return TOKENS / 64 / 8 if has(ops, "HMMA") else 0  # pieces of a tile of 8,192 keys
    return 2 if has(ops, "LDGSTS") else 0


def draw_loops(depth, ops):
    if depth == 0:
        return TOKENS / 64 / 8 if has(ops, "HMMA") else 0
    if has(ops, "LDGSTS"):
        return 2
    # Halves, eight heads, share group, rows of one of two ballots that are hit, keys of a row that hit.
    return [0, 2, HEADS / 8, 1, 16 * HIT / 2, 1.13][depth] if has(ops, "VOTE") or depth == 5 else 0


def gather_loops(of):
    """Loops with 16-byte loads, in order: band, then picks; a unit's own loops add nothing."""
    def times(depth, ops, seen=[]):
        if not has(ops, r"LDG\S*128"):
            return 0
        seen.append(depth)
        return of[min(depth, len(of) - 1)]
    return times


def disassembled(nvcc, nvdisasm, kernel, folder):
    cubin = f"{folder}/{kernel}.cubin"
    subprocess.run([nvcc, "-std=c++20", "-O3", "--expt-relaxed-constexpr", f"-I{ROOT}", f"-I{ROOT}/src", f"-I{ROOT}/kernels/cuda",
                    "-arch=sm_90", "-cubin", str(ROOT / "kernels" / f"{kernel}.cu"), "-o", cubin], check=True)
    text = subprocess.run([nvdisasm, "-c", cubin], check=True, capture_output=True, text=True).stdout
    parts = re.split(r"^\.text\.(\S+):$", text, flags=re.M)
    names = subprocess.run(["c++filt", *parts[1::2]], capture_output=True, text=True, check=True).stdout.split("\n")
    return {name: Code(body.split("\n")) for name, body in zip(names, parts[2::2])}


def main():
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    nvdisasm = os.environ.get("NVDISASM") or shutil.which("nvdisasm")
    if not nvcc or not nvdisasm:
        sys.exit("gpu_times.py needs nvcc and nvdisasm; see its first lines")
    pairs, gathered = TOKENS * TOKENS, TOKENS * HEADS * PICKS
    tile_warps = TOKENS / 64 * 8 * 4
    rows = 2 * WIDTH * 2  # bytes of a key and its value, or of a query and its gradient
    lists = gathered * 8
    row_data = TOKENS * HEADS * WIDTH * 2
    picks16 = gather_loops([PICKS / 16])
    # kernel, part of its name, warps, loops, bytes from L2, bytes from memory, floor in ms, what the floor is
    cases = [
        ("sketch_scan", "scan<smartbird::kernels::BfloatTile<32>", tile_warps, scan_loops, pairs / 64 * SKETCH * 2, 0,
         pairs / 3.9e12 * 1e3, "one exp2 a pair, 3.9 T/s"),
        ("draw", "draw<smartbird::kernels::BfloatTile<32>, false>", tile_warps, draw_loops, pairs / 64 * SKETCH * 2, 0, 2.0,
         "the scan's product and a comparison a pair and head; without its Philox blocks, some 0.4 ms"),
        ("attention_forward", "forward<unsigned short, 64>", TOKENS * HEADS, picks16, gathered * rows, 2 * row_data + lists, 1.6,
         "256 bytes a pick from L2"),
        ("attention_backward_q", "backward_q<unsigned short, 64>", TOKENS * HEADS, picks16, gathered * rows, 4 * row_data + lists,
         1.6, "256 bytes a pick from L2"),
        ("attention_backward_kv", "backward_kv<unsigned short, 64>", TOKENS * HEADS, gather_loops([PICKS / 16, 1]),
         gathered * rows, 4 * row_data + gathered * 12, 1.6, "256 bytes a pick from L2"),
    ]
    print("| kernel | bound by | predicted ms | floor ms | ratio | floor |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        codes = {}
        for kernel, part, warps, times, l2, memory, floor, why in cases:
            if kernel not in codes:
                codes[kernel] = disassembled(nvcc, nvdisasm, kernel, folder)
            code = next(c for name, c in codes[kernel].items() if part in name)
            cycles = code.mixed(PATHS.get(kernel, GATHER), times)
            ms = {pipe: warps * n / PARTITIONS / CLOCK * 1e3 for pipe, n in cycles.items()}
            ms["L2"], ms["memory"] = l2 / L2 * 1e3, memory / MEMORY * 1e3
            bound = max(ms, key=ms.get)
            print(f"| {kernel}{', writing' if 'true' in part else ', counting' if 'false' in part else ''} | {bound} | {ms[bound]:.2f} | {floor:.2f} | {ms[bound] / floor:.1f} | {why} |")
            if os.environ.get("DETAIL"):
                print({k: round(v, 2) for k, v in sorted(ms.items(), key=lambda x: -x[1])})
    # Moves memory and nothing else: read and write of every pass.
    passes = 3
    transpose = gathered * (passes * (4 + 16) + 4) / MEMORY * 1e3
    notes = gathered * (12 + 2 * 8) / MEMORY * 1e3  # lists take a note's sectors half full
    print(f"| draw, writing from notes | memory | {notes:.2f} | {gathered * 20 / MEMORY * 1e3:.2f} | 1.4 | 20 bytes a pick |")
    print(f"| pick_transpose | memory | {transpose:.2f} | 0.60 | {transpose / 0.6:.1f} | 48 bytes a pick |")
    print("| adamw, 1e8 parameters | memory | 0.93 | 0.93 | 1.0 | 28 bytes a parameter |")


if __name__ == "__main__":
    main()

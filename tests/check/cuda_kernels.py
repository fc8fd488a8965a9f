#!/usr/bin/env python3
"""Compiles kernels/*.cu with nvcc for sm_80 and sm_90, warnings as errors, and prints what each kernel takes: registers, spills,
stack, static shared memory, and the share of a multiprocessor's warps that fit. Fails on a warning, a spill or a stack frame.
Ends with 77 where there is no nvcc.   cuda_kernels.py [kernel.cu...]
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED_BYTES = {80: 163 << 10, 90: 227 << 10}  # of a multiprocessor
REGISTERS, WARPS, BLOCKS, RESERVED_BYTES = 65536, 64, 32, 1024


def threads_by_kernel(ptx):
    """Entry name -> threads of a block, from __launch_bounds__."""
    return {name: int(n) for name, n in re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)", ptx)}


def readable(names):
    return dict(zip(names, subprocess.run(["c++filt", *names], capture_output=True, text=True, check=True).stdout.split("\n")))


def occupancy(arch, threads, registers, shared):
    warps = (threads + 31) // 32
    per_warp = (registers * 32 + 255) // 256 * 256
    fit = min(BLOCKS, WARPS // warps, REGISTERS // (per_warp * warps), SHARED_BYTES[arch] // (shared + RESERVED_BYTES))
    return fit * warps / WARPS


def check(nvcc, source, folder):
    flags = ["-std=c++20", "-O3", "--expt-relaxed-constexpr", "-Werror", "all-warnings", f"-I{ROOT}", f"-I{ROOT}/src",
             f"-I{ROOT}/kernels/cuda"]
    gencode = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in SHARED_BYTES]
    done = subprocess.run([nvcc, *flags, *gencode, "-Xptxas", "-v", "--keep", "--keep-dir", folder, "-c", source, "-o",
                           f"{folder}/{source.stem}.o"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        return False
    threads = {}
    for ptx in pathlib.Path(folder).glob(f"{source.stem}*.ptx"):
        threads.update(threads_by_kernel(ptx.read_text()))
    found = re.findall(r"Compiling entry function '(\w+)' for 'sm_(\d+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
                       r"(\d+) bytes spill loads.*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?", done.stderr, re.S)
    if not found:
        print(f"{source.name}: no kernel in the report of ptxas", file=sys.stderr)
        return False
    names = readable([entry[0] for entry in found])
    good = True
    for name, arch, stack, stores, loads, registers, shared in found:
        if name not in threads:
            print(f"{source.name}: {names[name]} has no __launch_bounds__", file=sys.stderr)
            good = False
            continue
        short = re.sub(r"smartbird::kernels::|\(anonymous namespace\)::|^void ", "", names[name]).split("(")[0]
        share = occupancy(int(arch), threads[name], int(registers), int(shared or 0))
        print(f"| {source.name} | {short} | sm_{arch} | {threads[name]} | {registers} | {int(stores) + int(loads)} | {stack} | "
              f"{int(shared or 0)} | {share:.0%} |")
        if int(stores) + int(loads) + int(stack) > 0:
            print(f"{source.name}: {short} for sm_{arch} spills {int(stores) + int(loads)} bytes and keeps {stack} bytes of "
                  "arrays in local memory; unroll its loops or give it fewer registers to fill", file=sys.stderr)
            good = False
    return good


def main():
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        print("cuda_kernels: skipped, there is no nvcc")
        sys.exit(77)
    sources = [pathlib.Path(name).resolve() for name in sys.argv[1:]] or sorted((ROOT / "kernels").glob("*.cu"))
    print("| file | kernel | for | threads | registers | spilled bytes | stack bytes | shared bytes | warps that fit |")
    print("|---|---|---|---|---|---|---|---|---|")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            good = check(nvcc, source, folder) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

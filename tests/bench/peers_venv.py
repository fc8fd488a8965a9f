"""The virtual environment of the rivals: the repository's LibTorch wheel, made importable, and Hugging Face transformers.

launch/setup.sh leaves torch in .venv without what `import torch` needs. Here a .pth file lends that torch to a second
environment, and the rest of its dependencies is installed beside it (1.7 GB of CUDA libraries that the wheel links, though
nothing here computes on a GPU).
"""
import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = """
transformers==4.57.6 huggingface-hub==0.36.0 tokenizers==0.22.1 safetensors==0.7.0 regex==2025.11.3 pyyaml==6.0.3
requests==2.32.5 charset-normalizer==3.4.4 idna==3.11 urllib3==2.5.0 certifi==2025.11.12 tqdm==4.67.1 packaging==25.0
numpy==2.2.6 filelock==3.20.0 typing-extensions==4.15.0 sympy==1.14.0 mpmath==1.3.0 networkx==3.4.2 jinja2==3.1.6
MarkupSafe==3.0.3 fsspec==2025.10.0
nvidia-cublas==13.1.0.3 nvidia-cufft==12.0.0.61 nvidia-cufile==1.15.1.6 nvidia-curand==10.4.0.35 nvidia-cusolver==12.0.4.66
nvidia-cusparse==12.6.3.3 nvidia-nvjitlink==13.0.88 nvidia-cuda-nvrtc==13.0.88 nvidia-nvtx==13.0.85
nvidia-cudnn-cu13==9.19.0.56 nvidia-cusparselt-cu13==0.8.0 nvidia-nccl-cu13==2.28.9 nvidia-nvshmem-cu13==3.4.5
""".split()


class PeerError(Exception):
    """One sentence for the user."""


def site_packages(environment):
    found = sorted(environment.glob("lib/python3*/site-packages"))
    return found[0] if found else environment / "lib/none"


def python_of(environment):
    return environment / "bin/python"


def variables(environment, threads):
    """Environment of a rival's process: where the wheels put their libraries, threads, and no hub."""
    folders = [str(lib) for root in (environment, REPOSITORY / ".venv") for lib in sorted(site_packages(root).glob("nvidia/*/lib"))]
    return os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(folders), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1",
                         "TRANSFORMERS_VERBOSITY": "error"}


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def can_import(environment):
    if not python_of(environment).exists():
        return False
    done = subprocess.run([python_of(environment), "-c", "import torch, transformers"], env=variables(environment, 1), capture_output=True)
    return done.returncode == 0


def prepare(environment):
    """Makes the environment unless it is there already."""
    torch = site_packages(REPOSITORY / ".venv")
    if not (torch / "torch").exists():
        raise PeerError("the repository's .venv holds no torch; run bash launch/setup.sh first")
    if can_import(environment):
        return
    print(f"installing transformers into {environment} (minutes, 1.8 GB)", file=sys.stderr, flush=True)
    commands = [
        [REPOSITORY / ".venv/bin/python", "-m", "venv", environment],
        [python_of(environment), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", *PACKAGES],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise PeerError(f"cannot fill {environment} (it needs a package index and 5 GB of disk): {last_line(done.stderr)}")
    (site_packages(environment) / "smartbird.pth").write_text(f"{torch.resolve()}\n")
    if not can_import(environment):
        raise PeerError(f"torch and transformers do not import from {environment}; remove it and run again")

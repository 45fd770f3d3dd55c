"""Numbers are the same on another processor: once more under another kernel of OpenBLAS."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Kernels that every processor of a kind can run, the first that is not in use.
COMMON = {"x86_64": ["Prescott", "Nehalem"], "AMD64": ["Prescott", "Nehalem"], "aarch64": ["ARMV8"]}
ALIASES = {"Prescott": {"Prescott", "Katmai", "Core2"}}


def other(blas):
    """A kernel that is not in use, or a reason why there is none."""
    used = {name for api, name in blas if api == "openblas"}
    if not used:
        return None, f"no OpenBLAS but {', '.join(sorted({api for api, _ in blas})) or 'nothing'}"
    for kernel in COMMON.get(platform.machine(), []):
        if not used & ALIASES.get(kernel, {kernel}):
            return kernel, ""
    return None, f"no other kernel known than {', '.join(used)} on {platform.machine()}"


@pytest.mark.parametrize(
    ("blas", "expected"),
    [
        ([("openblas", "SkylakeX")], ("Prescott", "")),
        ([("openblas", "Katmai")], ("Nehalem", "")),
        ([("accelerate", "?")], (None, "no OpenBLAS but accelerate")),
    ],
)
def test_the_kernel_that_is_tried_is_not_the_one_in_use(monkeypatch, blas, expected):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert other(blas) == expected


def test_numbers_do_not_depend_on_the_kernel_of_the_linear_algebra(blas_in_use):
    kernel, why = other(blas_in_use)
    if kernel is None:
        pytest.skip(f"numbers cannot be tried under a second kernel: {why}")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-m", "numbers and not slow and not local"),
            *("-p", "no:cacheprovider", "-r", "f", "tests"),
        ],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    (said,) = re.findall("^linear algebra: (.*)$", done.stdout, re.MULTILINE)
    assert "openblas" in said and not {name for _, name in blas_in_use} & set(said.split()), said
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 100

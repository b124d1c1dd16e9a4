"""Steps reuse the memory that earlier ones have freed."""

import os
import platform
import subprocess
import sys

import pytest

# prints the page faults of a step, once everything has been set up
_STEPS = """
import resource
import torch
from inr.config import ModelConfig
from inr.training.allocator import keep_freed_memory
from inr.network.model import initialize
from inr.training.step import loss_and_gradients

keep_freed_memory()
torch.set_num_threads(1)
network = initialize(ModelConfig(width=128, depth=3), 0, torch.float32)
samples = torch.linspace(-1, 1, 8192).reshape(1024, 8)

def take(steps):
    for _ in range(steps):
        loss_and_gradients(network, samples, torch.ones(4), 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

before = take(10)
print((take(20) - before) / 20)
"""
NEEDS_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")


def faults_per_step(**environment: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _STEPS],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@NEEDS_GLIBC
def test_a_step_needs_no_new_memory() -> None:
    assert faults_per_step() < 100  # thousands without the setting


@NEEDS_GLIBC
def test_the_users_own_settings_are_left_alone() -> None:
    # blocks above 64 kB are lent by the system and given back, whatever else is set
    assert faults_per_step(MALLOC_MMAP_THRESHOLD_="65536") > 1000

"""The recorded stream: order, memory, aliasing, limits, threads."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import pyneuro as pn

pytestmark = pytest.mark.gpu


def test_nothing_runs_before_it_is_asked_for(gpu) -> None:
    x = pn.ones(8, device=gpu)
    pn.gpu.synchronize()
    before = pn.gpu.stats()
    y = x + 1
    y = y * 3
    after = pn.gpu.stats()
    assert after.dispatches == before.dispatches + 2
    assert after.submissions == before.submissions
    assert y.tolist() == [6.0] * 8
    assert pn.gpu.stats().submissions == before.submissions + 1


def test_long_streams_are_submitted_in_parts(gpu) -> None:
    x = pn.zeros(16, device=gpu)
    before = pn.gpu.stats().submissions
    for _ in range(500):
        x = x + 1
    assert x.tolist() == [500.0] * 16
    assert 5 <= pn.gpu.stats().submissions - before <= 8


def test_memory_comes_back_and_is_reused(gpu) -> None:
    pn.gpu.synchronize()
    start = pn.gpu.memory().allocated
    pn.gpu.reset_peak_memory()
    x = pn.zeros(1 << 16, device=gpu)
    size = pn.gpu.memory().allocated - start
    assert size >= 4 << 16
    for _ in range(300):
        x = x + 1  # each result takes the memory of the one before the last, while both are still recorded
    assert x[:3].tolist() == [300.0] * 3
    assert pn.gpu.memory().peak - start <= 4 * size
    del x
    assert pn.gpu.memory().allocated == start
    assert pn.gpu.memory().cached > 0
    pn.gpu.empty_cache()
    assert pn.gpu.memory().cached == 0


def test_an_upload_waits_for_recorded_readers_of_its_memory(gpu) -> None:
    # The first tensor's buffer is free to be used again while the sum that reads it is only recorded.
    first = pn.full((64,), 1.0).to(gpu)
    total = first + 0
    del first
    second = pn.full((64,), 5.0).to(gpu)
    assert total.tolist() == [1.0] * 64
    assert second.tolist() == [5.0] * 64


def test_in_place_ops_on_views_of_one_buffer(gpu, rng) -> None:
    a = rng.standard_normal((6, 6)).astype(np.float32)
    x, expected = pn.tensor(a, device=gpu), a.copy()
    x += x
    expected += expected
    x.add_(x.T)
    expected = expected + expected.T
    x[1:] = x[:-1]
    expected[1:] = expected[:-1].copy()
    x[:, 0] *= 2
    expected[:, 0] *= 2
    np.testing.assert_allclose(x.to("cpu").numpy(), expected, rtol=1e-6)


def test_a_bad_index_is_reported_once_and_by_name(gpu) -> None:
    x = pn.arange(5, device=gpu)
    bad = pn.index_select(x, 0, pn.tensor([0, 9], device=gpu))
    with pytest.raises(IndexError, match=r"index_select: index must be in \[0, 5\), got 9"):
        bad.tolist()
    assert x.tolist() == [0, 1, 2, 3, 4], "the device is usable afterwards"


@pytest.mark.parametrize("op", ["floor_divide", "remainder", "fmod"])
def test_integer_division_by_zero_is_reported(gpu, op: str) -> None:
    bad = getattr(pn, op)(pn.tensor([5, 7], device=gpu), pn.tensor([2, 0], device=gpu))
    with pytest.raises(ZeroDivisionError, match=f"{op}: integer division by zero"):
        bad.tolist()
    assert pn.tensor([5, -7], device=gpu).floor_divide(2).tolist() == [2, -4]


def test_more_groups_than_one_grid_dimension_holds(gpu, rng) -> None:
    a = rng.standard_normal((70_000, 33)).astype(np.float32)  # a workgroup per row
    got = pn.tensor(a, device=gpu).argmax(1).to("cpu").numpy()
    np.testing.assert_array_equal(got, a.argmax(1))


@pytest.mark.slow
def test_tensors_past_the_binding_limit(gpu) -> None:
    limit = int(pn.gpu.info()["max_binding_bytes"])
    if limit > 256 << 20:
        pytest.skip("this adapter binds more than the test can afford to allocate")
    n = limit // 4 + 1000
    x = pn.ones(n, device=gpu)
    y = (x + 1).neg_()
    assert y[-3:].tolist() == [-2.0] * 3 and y[:3].tolist() == [-2.0] * 3
    assert pn.arange(n, device=gpu)[-2:].tolist() == [n - 2, n - 1]
    with pytest.raises(ValueError, match="max-storage-buffer-binding-size"):
        x.sum()
    del x, y
    pn.gpu.empty_cache()


def test_int64_lives_in_32_bits_and_says_so(gpu) -> None:
    assert pn.tensor([2**31 - 1, -(2**31)]).to(gpu).tolist() == [2**31 - 1, -(2**31)]
    with pytest.raises(OverflowError, match="must fit in int32 on a GPU, got 2147483648"):
        pn.tensor([2**31]).to(gpu)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes_without_a_gpu_form_are_refused(gpu, dtype: str) -> None:
    with pytest.raises(TypeError, match=rf"{dtype}.*\.float\(\)"):
        pn.zeros(3, dtype=getattr(pn, dtype)).to(gpu)


def test_no_silent_copies_to_the_cpu(gpu) -> None:
    x = pn.randn(4, 4, device=gpu)
    with pytest.raises(NotImplementedError, match=r"sort: there is no GPU form.*to\(\"cpu\"\)"):
        x.sort()
    with pytest.raises(ValueError, match="one device, got gpu and cpu"):
        x @ pn.randn(4, 4)
    assert (x + pn.tensor(1.0)).device.type == "gpu", "0-d CPU tensors are numbers"


def test_threads_share_a_device(gpu) -> None:
    failures = []

    def work(seed: int) -> None:
        try:
            x = pn.full((32,), float(seed), device=gpu)
            for i in range(120):
                x = x + 1
                if i % 40 == 0:
                    assert x[0].item() == seed + i + 1
            assert x.tolist() == [seed + 120.0] * 32
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads, which is the point
def test_a_forked_child_is_told(gpu) -> None:
    x = pn.ones(3, device=gpu)
    pn.gpu.synchronize()
    child = os.fork()
    if child == 0:
        try:
            (x + 1).tolist()
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (x + 1).tolist() == [2.0] * 3

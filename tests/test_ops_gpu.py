"""Every op of `opinfo` on the GPU: values against NumPy, gradients against the CPU, refusals by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo.harness import (
    LAYOUTS,
    as_tuple,
    check_results,
    check_untouched,
    draws,
    each,
    function,
    tensor,
    tensors,
)

import pyneuro as pn
from pyneuro.testing import assert_close, tolerance

pytestmark = pytest.mark.gpu

ON_GPU = [i for i in OPS if i.gpu is None]
VALUES = [pytest.param(i, d, id=f"{i.name}-{d}") for i in ON_GPU for d in i.dtypes if d in i.gpu_dtypes]


@pytest.mark.parametrize(("info", "dtype"), VALUES)
def test_value(info: OpInfo, dtype: str, gpu: str) -> None:
    """Values, dtypes and shapes; the result stays on the GPU."""

    def run(sample: Sample) -> None:
        args, kwargs, pairs = tensors(sample, lambda a: tensor(a, dtype, gpu))
        if not pairs:
            kwargs["device"] = gpu
        results = function(info)(*args, **kwargs)
        for result in as_tuple(results):
            assert result.device.type == "gpu", f"the result is on {result.device}"
        check_results(info, sample, dtype, results)
        check_untouched(pairs)

    assert each(info, (s for s in draws(info, dtype) if s.gpu), run) > 0, "no samples"


@pytest.mark.parametrize(
    "info", [pytest.param(i, id=i.name) for i in ON_GPU if "float32" in i.dtypes and i.ref and i.layouts]
)
def test_layout(info: OpInfo, gpu: str) -> None:
    """Views of GPU tensors: the first samples in every layout."""

    def run(sample: Sample) -> None:
        for layout in LAYOUTS.values():
            args, kwargs, _ = tensors(sample, lambda a, layout=layout: layout(tensor(a, "float32", gpu)))
            check_results(info, sample, "float32", function(info)(*args, **kwargs))

    each(info, [s for s in draws(info, "float32") if s.gpu][:6], run)


@pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in ON_GPU if i.grad and "float32" in i.dtypes])
def test_gradient(info: OpInfo, gpu: str) -> None:
    """Gradients on the GPU equal those on the CPU for the same incoming gradient."""

    def gradients(sample: Sample, device: str) -> list[Any]:
        args, kwargs, pairs = tensors(sample, lambda a: tensor(a, "float32", device, requires_grad=True))
        outputs = [o for o in as_tuple(function(info)(*args, **kwargs)) if o.requires_grad]
        assert outputs, "the op lost the gradient"
        rng = np.random.default_rng(0)
        incoming = [tensor(rng.standard_normal(tuple(o.shape)), "float32", device) for o in outputs]
        inputs = [t for _, t in pairs if t.requires_grad]
        return list(pn.autograd.grad(outputs, inputs, incoming, allow_unused=True))

    def run(sample: Sample) -> None:
        expected = gradients(sample, "cpu")
        for i, (got, want) in enumerate(zip(gradients(sample, gpu), expected)):
            assert (got is None) == (want is None), f"gradient of input {i} exists on one device only"
            if got is not None:
                assert got.device.type == "gpu", f"the gradient is on {got.device}"
                rtol, atol = (bound * (info.slack[0] if info.slack else 1) for bound in tolerance("float32", gpu))
                assert_close(got, want, rtol=rtol, atol=atol, check_device=False, msg=f"gradient of input {i}")

    assert each(info, (s for s in draws(info, "float32") if s.gpu and s.grad), run) > 0, "no samples"


@pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in OPS if i.gpu is not None])
def test_unavailable(info: OpInfo, gpu: str) -> None:
    """An op without GPU form refuses, names itself and never computes on the CPU in silence."""
    sample = next(draws(info, info.dtypes[0]))
    args, kwargs, _ = tensors(sample, lambda a: tensor(a, "float32", gpu))
    with pytest.raises(NotImplementedError, match=r"^\w+: there is no GPU form \(.+\)"):
        function(info)(*args, **kwargs)


def test_float64_is_refused(gpu: str) -> None:
    with pytest.raises(TypeError, match=r"float64.*float\(\)|float64.*float32"):
        pn.zeros(3, dtype=pn.float64).to(gpu)


def test_int64_out_of_range_is_refused(gpu: str) -> None:
    assert pn.tensor([2**31 - 1, -(2**31)]).to(gpu).tolist() == [2**31 - 1, -(2**31)]
    for bad in (2**31, -(2**31) - 1):
        with pytest.raises((ValueError, OverflowError), match=str(bad)):
            pn.tensor([bad]).to(gpu)


def test_mixed_devices_are_refused(gpu: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=r"^add: .*device"):
        pn.ones(3) + pn.ones(3, device=gpu)
    assert (pn.ones(3, device=gpu) + pn.tensor(2.0)).tolist() == [3.0, 3.0, 3.0]  # 0-d tensors are parameters

"""The shaders' own mathematical functions against float64, in units of the last place.

WGSL promises little (sin may be off by 2^-11) and drivers reassociate, so the bounds are on our forms of the functions,
over the whole range of float32.
"""

from __future__ import annotations

from math import erf, erfc

import numpy as np
import pytest

import pyneuro as pn

pytestmark = pytest.mark.gpu

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-38, 88.7, -87.3, 104.0, -104.0]

#: function, its float64 form, error in ulp
UNARY = {
    "exp": (np.exp, 3),
    "exp2": (np.exp2, 3),
    "expm1": (np.expm1, 6),
    "log": (np.log, 2),
    "log2": (np.log2, 3),
    "log10": (np.log10, 3),
    "log1p": (np.log1p, 3),
    "sqrt": (np.sqrt, 1),
    "sin": (np.sin, 4),
    "cos": (np.cos, 4),
    "tan": (np.tan, 6),
    "asin": (np.arcsin, 4),
    "acos": (np.arccos, 4),
    "atan": (np.arctan, 4),
    "sinh": (np.sinh, 7),
    "cosh": (np.cosh, 7),
    "tanh": (np.tanh, 3),
    "asinh": (np.arcsinh, 4),
    "acosh": (np.arccosh, 4),
    "atanh": (np.arctanh, 4),
    "erf": (np.vectorize(erf), 4),
    "erfc": (np.vectorize(erfc), 8),
}


def worst_ulp(got: np.ndarray, want: np.ndarray, *inputs: np.ndarray) -> tuple[float, str]:
    """The largest error of normal results; infinities and NaN must agree exactly, tiny results may be flushed."""
    with np.errstate(over="ignore"):
        rounded = want.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    normal = finite & (np.abs(rounded) > 1.2e-38)
    tiny = finite & ~normal
    assert (np.abs(got[tiny].astype(np.float64) - want[tiny]) <= 1.2e-38).all()
    error = np.abs(got[normal].astype(np.float64) - want[normal]) / np.spacing(np.abs(rounded[normal]))
    at = int(error.argmax())
    return float(error[at]), f"at {[float(x[normal][at]) for x in inputs]}: {got[normal][at]} for {want[normal][at]}"


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, gpu, rng) -> None:
    reference, bound = UNARY[name]
    scales = [rng.standard_normal(1000) * s for s in (1e-30, 1e-5, 0.3, 1, 10, 60, 1e4, 1e9)]
    x = np.concatenate([*scales, SPECIAL]).astype(np.float32)
    with np.errstate(all="ignore"):
        want = np.asarray(reference(x.astype(np.float64)))
    got = getattr(pn, name)(pn.tensor(x, device=gpu)).to("cpu").numpy()
    error, where = worst_ulp(got, want, x)
    assert error <= bound, where


@pytest.mark.parametrize(
    ("name", "reference", "bound"),
    [
        ("pow", np.power, 8),
        ("atan2", np.arctan2, 4),
        ("fmod", np.fmod, 0.5),
        ("remainder", np.remainder, 1),
        ("floor_divide", np.floor_divide, 1),
        ("maximum", np.maximum, 0),
        ("minimum", np.minimum, 0),
    ],
)
def test_binary(name: str, reference, bound: float, gpu, rng) -> None:
    special = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 2, -2, 0.5, 3, -3])
    a, b = (v.ravel() for v in np.meshgrid(special, special))
    x = np.concatenate([rng.standard_normal(2000) * 3, np.abs(rng.standard_normal(2000)) * 90, a]).astype(np.float32)
    y = np.concatenate([rng.standard_normal(2000) * 3, rng.standard_normal(2000) * 9, b]).astype(np.float32)
    y[:300] = np.round(y[:300])
    with np.errstate(all="ignore"):
        want = np.asarray(reference(x.astype(np.float64), y.astype(np.float64)))
    got = getattr(pn, name)(pn.tensor(x, device=gpu), pn.tensor(y, device=gpu)).to("cpu").numpy()
    error, where = worst_ulp(got, want, x, y)
    assert error <= bound, where


@pytest.mark.parametrize("shape", [(1,), (7,), (64, 33)])
@pytest.mark.parametrize("draw", ["rand", "randn", "randint", "bernoulli"])
def test_random_numbers_are_those_of_the_cpu(draw: str, shape: tuple[int, ...], gpu) -> None:
    def numbers(device: str) -> np.ndarray:
        generator = pn.Generator().manual_seed(1234567890123)
        if draw == "randint":
            out = pn.randint(-5, 1000, shape, generator=generator, device=device)
        elif draw == "bernoulli":
            out = pn.bernoulli(pn.full(shape, 0.3, device=device), generator=generator)
        else:
            out = getattr(pn, draw)(*shape, generator=generator, device=device)
        return out.to("cpu").numpy()

    np.testing.assert_array_equal(numbers(gpu), numbers("cpu"))


def test_sums_repeat_to_the_bit(gpu, rng) -> None:
    x = pn.tensor(rng.standard_normal((300, 1000)).astype(np.float32), device=gpu)
    sums = {x.sum().item() for _ in range(5)}
    assert len(sums) == 1
    assert sums.pop() == pytest.approx(float(x.to("cpu").numpy().astype(np.float64).sum()), rel=1e-5, abs=1e-3)


def test_running_sums_keep_small_results_of_large_parts(gpu, rng) -> None:
    x = rng.standard_normal(4097).astype(np.float32) * 100
    got = pn.tensor(x, device=gpu).cumsum(0).to("cpu").numpy()
    want = x.astype(np.float64).cumsum()
    np.testing.assert_allclose(got, want, rtol=2e-7, atol=2e-7)
    special = pn.tensor([1.0, np.inf, 3.0, -np.inf, 2.0], device=gpu).cumsum(0).to("cpu").numpy()
    np.testing.assert_array_equal(special, [1, np.inf, np.inf, np.nan, np.nan])

//! Random tensors, addressed by (seed, offset, element index): the same numbers on every device.

use super::attrs::{Create, Distribution, Random};
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::layout::checked_numel;
use crate::op::{Attrs, Cpu, Gpu, Meta, OpDef, Vjp, call1};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::philox;
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&RANDOM];

/// Independent random numbers.
pub static RANDOM: OpDef = OpDef {
    name: "random",
    infer: |attrs, _| {
        let r = attrs!(attrs, Random);
        let c = &r.create;
        match r.distribution {
            Distribution::Uniform(low, high) => {
                ensure!(c.dtype.is_float(), Type, "uniform: a floating-point dtype is required, got {}", c.dtype);
                let fine = low <= high && (high - low).is_finite();
                ensure!(fine, Value, "uniform: finite bounds with low <= high are required, got {low} and {high}");
            }
            Distribution::Normal(mean, std) => {
                ensure!(c.dtype.is_float(), Type, "normal: a floating-point dtype is required, got {}", c.dtype);
                let fine = std >= 0.0;
                ensure!(fine, Value, "normal: std must be non-negative, got {std} (mean {mean})");
            }
            Distribution::Integers(low, high) => {
                ensure!(low < high, Value, "randint: low must be less than high, got {low} and {high}");
            }
            Distribution::Bernoulli(p) => {
                ensure!((0.0..=1.0).contains(&p), Value, "bernoulli: p must be in [0, 1], got {p}");
            }
        }
        checked_numel("random", &c.shape)?;
        Ok(smallvec![Meta::new(c.shape.clone(), c.dtype)])
    },
    vjp: Vjp::None { why: "it has no inputs" },
    cpu: Cpu::Kernel(|attrs, _, out| {
        let r = attrs!(attrs, Random);
        match out[0].dtype() {
            DType::F64 => doubles(r, &out[0]),
            d if d.is_float() => dispatch!(d, T in full_float => floats::<T>(r, &out[0]), _ => unreachable!()),
            d => dispatch!(d, T in int_bool => integers::<T>(r, &out[0]), _ => unreachable!()),
        }
        Ok(())
    }),
    gpu: Gpu::Kernel(crate::gpu::random),
    reference: None,
    elementwise: false,
};

/// float32 and what is narrower: four elements from a block.
fn floats<T: Typed>(r: &Random, out: &Tensor) {
    let narrow = |x: f32| T::from_f64(f64::from(x));
    match r.distribution {
        Distribution::Uniform(low, high) => {
            let (low, width) = (low as f32, (high - low) as f32);
            philox::fill(out.slice_mut::<T>(), r.seed, r.offset, |w| {
                w.map(|w| narrow(philox::unit_f32(w) * width + low))
            });
        }
        Distribution::Normal(mean, std) => {
            let (mean, std) = (mean as f32, std as f32);
            philox::fill(out.slice_mut::<T>(), r.seed, r.offset, |w| {
                let ((a, b), (c, d)) = (philox::normal_f32(w[0], w[1]), philox::normal_f32(w[2], w[3]));
                [a, b, c, d].map(|x| narrow(x * std + mean))
            });
        }
        Distribution::Bernoulli(p) => {
            let p = p as f32;
            philox::fill(out.slice_mut::<T>(), r.seed, r.offset, |w| {
                w.map(|w| narrow(f32::from(u8::from(philox::unit_f32(w) < p))))
            });
        }
        Distribution::Integers(..) => integers::<T>(r, out),
    }
}

/// float64: two elements from a block.
fn doubles(r: &Random, out: &Tensor) {
    let out = out.slice_mut::<f64>();
    match r.distribution {
        Distribution::Uniform(low, high) => philox::fill(out, r.seed, r.offset, |w| {
            [philox::unit_f64(w[0], w[1]), philox::unit_f64(w[2], w[3])].map(|u| u * (high - low) + low)
        }),
        Distribution::Normal(mean, std) => philox::fill(out, r.seed, r.offset, |w| {
            let (a, b) = philox::normal_f64(w);
            [a * std + mean, b * std + mean]
        }),
        Distribution::Bernoulli(p) => philox::fill(out, r.seed, r.offset, |w| {
            [philox::unit_f64(w[0], w[1]), philox::unit_f64(w[2], w[3])].map(|u| f64::from(u8::from(u < p)))
        }),
        Distribution::Integers(low, high) => philox::fill(out, r.seed, r.offset, |w| {
            let range = high.wrapping_sub(low) as u64;
            [philox::below_u64(w[0], w[1], range), philox::below_u64(w[2], w[3], range)]
                .map(|i| low.wrapping_add(i as i64) as f64)
        }),
    }
}

/// Integers: four from a block, two where the range needs more than 32 bits.
fn integers<T: Typed>(r: &Random, out: &Tensor) {
    let out = out.slice_mut::<T>();
    match r.distribution {
        Distribution::Integers(low, high) => {
            let range = high.wrapping_sub(low) as u64;
            let make = |i: u64| T::from_i64(low.wrapping_add(i as i64));
            if range <= 1 << 32 {
                philox::fill(out, r.seed, r.offset, |w| w.map(|w| make(philox::below_u32(w, range))));
            } else {
                philox::fill(out, r.seed, r.offset, |w| {
                    [make(philox::below_u64(w[0], w[1], range)), make(philox::below_u64(w[2], w[3], range))]
                });
            }
        }
        Distribution::Bernoulli(p) => {
            let p = p as f32;
            philox::fill(out, r.seed, r.offset, |w| w.map(|w| T::from_i64(i64::from(philox::unit_f32(w) < p))));
        }
        Distribution::Uniform(..) | Distribution::Normal(..) => unreachable!("infer asks for a float dtype"),
    }
}

/// Blocks of the stream that a tensor of `numel` elements uses up; the same for every dtype and distribution, so that
/// the stream that follows does not depend on them.
pub fn blocks(numel: usize) -> u64 {
    numel.div_ceil(2) as u64
}

/// Random numbers from block `offset` of the stream of `seed`.
pub fn random(
    distribution: Distribution,
    shape: &[usize],
    dtype: DType,
    device: Device,
    seed: u64,
    offset: u64,
) -> Result<Tensor> {
    let create = Create { shape: shape.into(), dtype, device, start: 0.0, step: 0.0 };
    call1(&RANDOM, Attrs::Random(Box::new(Random { seed, offset, distribution, create })), &[])
}

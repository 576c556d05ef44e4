//! Random tensors: the numbers of `pyneuro_kernels::philox`.

use super::elementwise::convert;
use super::launch::{Launch, word_type};
use super::shader::ShaderKey;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::Attrs;
use crate::ops::attrs::Distribution;
use crate::tensor::Tensor;
use crate::{attrs, ensure};

const GROUP: usize = 256;
/// Elements that one block of the generator gives.
const BLOCK: usize = 4;

/// The kernel of `random`.
pub fn random(attrs: &Attrs, _: &[&Tensor], out: &[Tensor]) -> Result<()> {
    let (r, out) = (attrs!(attrs, Random), &out[0]);
    let (mut range, mut low, mut numbers) = (0u32, 0i32, [0.0; 2]);
    let (kind, made) = match r.distribution {
        Distribution::Uniform(low, high) => {
            numbers = [high - low, low];
            ("UNIFORM", DType::F32)
        }
        Distribution::Normal(mean, std) => {
            numbers = [std, mean];
            ("NORMAL", DType::F32)
        }
        Distribution::Bernoulli(p) => {
            numbers[0] = p;
            ("BERNOULLI", DType::F32)
        }
        Distribution::Integers(from, to) => {
            let fits = from >= i64::from(i32::MIN) && to <= i64::from(i32::MAX) + 1;
            ensure!(fits, Overflow, "randint: bounds must fit in int32 on a GPU, got {from} and {to}");
            low = from as i32;
            range = (to - from) as u32; // 2^32 wraps to 0, which the shader knows
            ("INTEGERS", DType::I32)
        }
    };
    let key = ShaderKey::new("philox")
        .with("OUT", word_type(out.dtype())?)
        .with("STORE", convert("v", made, out.dtype()))
        .with(kind, "");
    let mut call = Launch::new("random", key, out);
    let offset = call.output(out)?;
    let halves = |x: u64| (x as u32, (x >> 32) as u32);
    let ((seed_low, seed_high), (offset_low, offset_high)) = (halves(r.seed), halves(r.offset));
    call.size(out.numel()).word(offset).word(seed_low).word(seed_high);
    call.word(offset_low).word(offset_high).word(range).word(low as u32);
    call.float(numbers[0]).float(numbers[1]);
    call.record(out.numel().div_ceil(GROUP * BLOCK))
}

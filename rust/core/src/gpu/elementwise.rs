//! Elementwise kernels: one WGSL expression over any strides.

use super::index::fault_number;
use super::launch::{Launch, Merged, buffer, fits, word_type};
use super::shader::ShaderKey;
use crate::dtype::{DType, result_type};
use crate::err;
use crate::error::Result;
use crate::layout::Layout;
use crate::op::Attrs;
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::SmallVec;

const GROUP: usize = 256;
/// Names of the defines of each operand: stored type, binding, number, conversion, converted type.
const NAMES: [[&str; 5]; 3] = [
    ["TX", "BIND_X", "X_NUMBER", "AS_X", "CX"],
    ["TY", "BIND_Y", "Y_NUMBER", "AS_Y", "CY"],
    ["TZ", "BIND_Z", "Z_NUMBER", "AS_Z", "CZ"],
];

/// An input of an elementwise kernel.
pub struct Operand<'a> {
    value: Value<'a>,
    dtype: DType,
    /// What the expression sees it as.
    seen_as: DType,
}

enum Value<'a> {
    /// On the device, of the result's shape or broadcast to it.
    Tensor(&'a Tensor),
    /// In the parameters.
    Number(u32),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(t: &'a Tensor) -> Self {
        Self { value: Value::Tensor(t), dtype: t.dtype(), seen_as: t.dtype() }
    }
}

impl<'a> Operand<'a> {
    /// A number as an element of `dtype`.
    pub fn number(value: f64, dtype: DType) -> Self {
        let word = if dtype.is_float() { (value as f32).to_bits() } else { value as i32 as u32 };
        let dtype = if dtype.is_float() { DType::F32 } else { dtype };
        Self { value: Value::Number(word), dtype, seen_as: dtype }
    }

    /// An input as the user gave it, seen as `dtype`: a 0-d CPU tensor becomes a number in the parameters.
    fn given(t: &'a Tensor, dtype: DType) -> Result<Self> {
        if t.device() != Device::Cpu {
            return Ok(Self { seen_as: dtype, ..t.into() });
        }
        if t.dtype().is_float() || dtype.is_float() {
            return Ok(Self { seen_as: dtype, ..Self::number(t.item_f64()?, DType::F32) });
        }
        let value = t.item_i64()?;
        let word = i32::try_from(value);
        let word = word.map_err(|_| err!(Overflow, "gpu: int64 values must fit in int32 on a GPU, got {value}"))?;
        Ok(Self { value: Value::Number(word as u32), dtype: t.dtype(), seen_as: dtype })
    }
}

/// The expression that brings a word-sized integer result back into the range of `dtype`: narrow integers wrap around.
fn wrap(dtype: DType, expression: &str) -> String {
    match dtype {
        DType::U8 => format!("({expression}) & 255"),
        DType::I8 => format!("(({expression}) << 24u) >> 24u"),
        DType::I16 => format!("(({expression}) << 16u) >> 16u"),
        DType::Bool => format!("select(0, 1, i32({expression}) != 0)"),
        _ => expression.to_owned(),
    }
}

/// Converts the word expression `x` of dtype `from` to dtype `to`.
pub fn convert(x: &str, from: DType, to: DType) -> String {
    match (from.is_float(), to) {
        _ if from == to => x.to_owned(),
        (true, DType::Bool) => format!("select(0, 1, (bitcast<u32>({x}) & 0x7fffffffu) != 0u)"),
        (true, DType::F32) => x.to_owned(),
        (true, _) => wrap(to, &format!("trunc_to_int({x})")),
        (false, DType::Bool) => format!("select(0, 1, ({x}) != 0)"),
        (false, DType::F32) => format!("f32({x})"),
        (false, _) => wrap(to, x),
    }
}

/// The GPU form of an elementwise op: `float` or `int`, over operands brought to a common dtype.
pub fn elementwise(
    op: &'static str,
    float: &str,
    int: &str,
    attrs: &Attrs,
    inputs: &[&Tensor],
    out: &Tensor,
) -> Result<()> {
    // A question is asked in the common dtype of its operands; everything else is computed in the result's.  The
    // condition of a three-operand op stays what it is.
    let condition = inputs.len() == 3 && inputs[0].dtype() == DType::Bool;
    let dtype = if op.starts_with("logical_") {
        DType::Bool
    } else if out.dtype() == DType::Bool && op != "cast" {
        result_type(if condition { &inputs[1..] } else { inputs })
    } else {
        out.dtype()
    };
    let operands: SmallVec<[Operand<'_>; 3]> = inputs
        .iter()
        .enumerate()
        .map(|(i, t)| Operand::given(t, if condition && i == 0 { DType::Bool } else { dtype }))
        .collect::<Result<_>>()?;
    let expression = if dtype.is_float() { float } else { int };
    let mut extra = [0; 4];
    if let Attrs::Scalars(scalars) = attrs {
        for (word, &value) in extra.iter_mut().zip(scalars) {
            *word = if dtype.is_float() { (value as f32).to_bits() } else { value as i32 as u32 };
        }
    }
    map_with(op, out, &operands, expression, extra)
}

/// `out[i] = expression(x[i], y[i], z[i])` for up to three inputs.
///
/// The expression sees `x`, `y`, `z` in the types of their dtypes (`f32`; `i32` for every integer and for bool, which is
/// 0 or 1), and must have the type of `out`'s (where that is bool, WGSL's `bool` will do).
pub fn map(op: &'static str, out: &Tensor, inputs: &[Operand<'_>], expression: &str) -> Result<()> {
    map_with(op, out, inputs, expression, [0; 4])
}

/// As [`map`], with four more words that the expression reads as `p.extra`.
pub fn map_with(
    op: &'static str,
    out: &Tensor,
    inputs: &[Operand<'_>],
    expression: &str,
    extra: [u32; 4],
) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let mut layouts: Vec<Layout> = vec![out.layout().clone()];
    for input in inputs {
        layouts.push(match input.value {
            Value::Tensor(t) => t.layout().broadcast_to(out.shape()),
            Value::Number(_) => {
                let strides = SmallVec::from_elem(0, out.ndim());
                Layout { shape: out.shape_vec(), strides, offset: 0 }
            }
        });
    }
    let expression = wrap(out.dtype(), expression);
    piece(op, out, inputs, &layouts, &expression, extra, 0)
}

/// Runs the part of the result that `layouts` describe; halves it where an operand exceeds what a kernel can see.
fn piece(
    op: &'static str,
    out: &Tensor,
    inputs: &[Operand<'_>],
    layouts: &[Layout],
    expression: &str,
    extra: [u32; 4],
    first: usize,
) -> Result<()> {
    let limits = buffer(out).stream().limits();
    let mut tensors = std::iter::once(out).map(Some).chain(inputs.iter().map(|input| match input.value {
        Value::Tensor(t) => Some(t),
        Value::Number(_) => None,
    }));
    let all_fit = layouts.iter().all(|layout| tensors.next().flatten().is_none_or(|t| fits(t, layout, limits)));
    let split = layouts[0].shape.iter().position(|&n| n > 1);
    if let (false, Some(dim)) = (all_fit, split) {
        let n = layouts[0].shape[dim];
        let half = n / 2;
        let cut = |start: usize, len: usize| -> Vec<Layout> {
            layouts.iter().map(|layout| layout.slice(dim, start, 1, len)).collect()
        };
        piece(op, out, inputs, &cut(0, half), expression, extra, first)?;
        let done = layouts[0].numel() / n * half;
        return piece(op, out, inputs, &cut(half, n - half), expression, extra, first + done);
    }
    launch(op, out, inputs, layouts, expression, extra, first)
}

fn launch(
    op: &'static str,
    out: &Tensor,
    inputs: &[Operand<'_>],
    layouts: &[Layout],
    expression: &str,
    extra: [u32; 4],
    first: usize,
) -> Result<()> {
    let none: &[isize] = &vec![0; layouts[0].shape.len()];
    let strides: [&[isize]; 4] = std::array::from_fn(|i| layouts.get(i).map_or(none, |layout| &layout.strides));
    let merged = Merged::new(op, &layouts[0].shape, strides)?;
    let count = layouts[0].numel();
    let dense = |i: usize| merged.strides[i].as_slice() == [1] || count == 1;
    let contiguous = merged.shape.len() <= 1
        && dense(0)
        && inputs.iter().enumerate().all(|(i, input)| matches!(input.value, Value::Number(_)) || dense(i + 1));

    let float = inputs.first().map_or(out.dtype(), |input| input.seen_as).is_float();
    let key = ShaderKey::new("elementwise")
        .with("OUT", word_type(out.dtype())?)
        .with("P", if float { "f32" } else { "i32" })
        .with("EXPR", expression)
        .when(contiguous, "CONTIGUOUS");
    let mut call = Launch::new(op, key, out);
    let mut offsets = [call.output_as(out, &layouts[0])?, 0, 0, 0];
    if ["floor_div_int(", "modulo_int(", "rem_int("].iter().any(|division| expression.contains(division)) {
        call.fault()?;
        let binding = call.bound().to_string();
        call.define("FAULT", binding);
    }
    let mut numbers = [0u32; 3];
    let mut math = needs_math(expression);
    for (i, input) in inputs.iter().enumerate() {
        let [stored, bind, number, converted, seen_type] = NAMES[i];
        match input.value {
            Value::Tensor(t) => {
                offsets[i + 1] = call.input_as(t, &layouts[i + 1])?;
                let binding = call.bound().to_string();
                call.define(bind, binding);
            }
            Value::Number(word) => {
                numbers[i] = word;
                call.define(number, "");
            }
        }
        let conversion = convert("stored", input.dtype, input.seen_as);
        math |= needs_math(&conversion);
        call.define(stored, word_type(input.dtype)?);
        call.define(seen_type, word_type(input.seen_as)?);
        call.define(converted, conversion);
    }
    if math {
        call.define("MATH", "");
    }
    call.size(count).size(merged.shape.len());
    for offset in offsets {
        call.word(offset);
    }
    call.size(first).word(fault_number(op));
    for word in numbers {
        call.word(word);
    }
    call.word(0);
    for word in extra {
        call.word(word);
    }
    call.dims(&merged.shape);
    for strides in &merged.strides {
        call.dims(strides);
    }
    call.record(count.div_ceil(GROUP))
}

/// Whether an expression calls functions of `math.wgsl`, which costs a pipeline some time to compile.
pub(super) fn needs_math(expression: &str) -> bool {
    expression.contains("_(") || expression.contains("_int(")
}

/// `out[...] = value`.
pub fn fill(out: &Tensor, value: f64) -> Result<()> {
    map("full", out, &[Operand::number(value, out.dtype())], "x")
}

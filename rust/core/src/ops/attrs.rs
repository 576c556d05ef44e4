//! The attributes of ops: what an op knows besides its input tensors.

use crate::dtype::DType;
use crate::layout::Shape;
use crate::op::OpDef;
use crate::storage::Device;
use smallvec::SmallVec;

/// Dimensions as the user gave them; `infer` makes them non-negative.
pub type Dims = SmallVec<[i64; 4]>;

/// The attributes of one use of an op.
#[derive(Clone, Debug, Default)]
pub enum Attrs {
    /// None at all.
    #[default]
    None,
    /// One dimension.
    Dim(i64),
    /// Several dimensions, in order.
    Dims(Dims),
    /// A shape.
    Shape(Shape),
    /// A dtype to convert to.
    Cast(DType),
    /// A device to copy to.
    Device(Device),
    /// Up to two numbers, named by the op.
    Scalars([f64; 2]),
    /// A diagonal.
    Diagonal(i64),
    /// Part of a dimension.
    Slice(Slice),
    /// Elements before and after each dimension.
    Pad(Box<Pad>),
    /// What to fill a new tensor with.
    Create(Box<Create>),
    /// What to reduce.
    Reduce(Reduce),
    /// A view op and its attributes.
    View(Box<(&'static OpDef, Attrs)>),
    /// A convolution.
    Conv(Box<Conv>),
    /// A pooling window.
    Pool(Box<Pool>),
    /// A normalisation.
    Norm(Norm),
    /// A loss.
    Loss(Loss),
    /// Random numbers.
    Random(Box<Random>),
    /// Sorting.
    Sort(Sort),
    /// A fused optimizer step.
    Optim(Box<Optim>),
}

/// `start`, `start + step`, ...: `len` of them along `dim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the formula above")]
pub struct Slice {
    pub dim: usize,
    pub start: usize,
    pub step: isize,
    pub len: usize,
}

/// Constant padding.
#[derive(Clone, Debug)]
pub struct Pad {
    /// Elements before and after each dimension; negative ones crop.
    pub pads: SmallVec<[(i64, i64); 4]>,
    /// The value of new elements.
    pub value: f64,
}

/// A new tensor.
#[derive(Clone, Debug)]
pub struct Create {
    /// Its shape.
    pub shape: Shape,
    /// Its dtype.
    pub dtype: DType,
    /// Its device.
    pub device: Device,
    /// First value of `arange`, the value of `full`.
    pub start: f64,
    /// Difference between neighbours of `arange`.
    pub step: f64,
}

/// A reduction.
#[derive(Clone, Debug, Default)]
pub struct Reduce {
    /// Which dimensions; `None` means all.
    pub dims: Option<Dims>,
    /// Whether they stay, with length 1.
    pub keepdim: bool,
    /// The accumulation and result dtype, where the user asked for one.
    pub dtype: Option<DType>,
    /// What the variance's divisor subtracts from the count.
    pub correction: f64,
}

/// A two-dimensional convolution.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the field's standard terms")]
pub struct Conv {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
    /// Shape of the input or weight, for the gradients.
    pub shape: Shape,
}

/// A two-dimensional pooling window.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the field's standard terms")]
pub struct Pool {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub ceil_mode: bool,
    pub count_include_pad: bool,
    pub divisor: Option<usize>,
    /// Shape of the input, for the gradients.
    pub shape: Shape,
}

/// A normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Added to the variance.
    pub eps: f64,
    /// How many trailing dimensions layer norm normalises.
    pub dims: usize,
    /// Whether batch statistics are used.
    pub training: bool,
}

/// How a loss combines its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "torch's names")]
pub enum Reduction {
    None,
    Mean,
    Sum,
}

/// A classification loss.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// How terms combine.
    pub reduction: Reduction,
    /// The class that does not count.
    pub ignore_index: i64,
    /// Mass spread evenly over all classes.
    pub label_smoothing: f64,
}

/// A distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Uniform in [low, high).
    Uniform(f64, f64),
    /// Normal with mean and standard deviation.
    Normal(f64, f64),
    /// Integers in [low, high).
    Integers(i64, i64),
    /// One with this probability, else zero.
    Bernoulli(f64),
}

/// Random numbers, addressed by (seed, offset, element index).
#[derive(Clone, Debug)]
pub struct Random {
    /// The generator's key.
    pub seed: u64,
    /// Where in the generator's stream this tensor starts.
    pub offset: u64,
    /// What to draw.
    pub distribution: Distribution,
    /// What to make.
    pub create: Create,
}

/// Sorting, or the k greatest.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// Along which dimension.
    pub dim: i64,
    /// Greatest first.
    pub descending: bool,
    /// How many to keep (`topk`).
    pub k: usize,
}

/// One step of a fused optimizer.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "torch's names")]
pub struct Optim {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub nesterov: bool,
    pub decoupled: bool,
    pub maximize: bool,
    /// Number of this step for each parameter, counted from 1.
    pub steps: Vec<u64>,
}

impl Attrs {
    /// The device of an op without inputs.
    pub fn device(&self) -> Device {
        match self {
            Self::Create(c) => c.device,
            Self::Random(r) => r.create.device,
            _ => Device::Cpu,
        }
    }
}

/// Binds the payload of an [`Attrs`]: `attrs!(attrs, Slice)`; any other variant is a defect of the caller.
#[macro_export]
macro_rules! attrs {
    ($attrs:expr, $variant:ident) => {
        match $attrs {
            $crate::op::Attrs::$variant(x) => x,
            other => unreachable!("expected attributes {}, got {other:?}", stringify!($variant)),
        }
    };
}

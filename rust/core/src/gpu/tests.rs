//! Every shader variant, compiled by naga for Vulkan, Metal and DX12, on a device that runs nothing.
//!
//! The device is an [`Executor`] that checks what it is given against the weakest adapter's limits, so driving the ops
//! through it shows which variants they use and that their calls are within bounds.

use super::*;
use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Attrs, Gpu, call};
use crate::ops::attrs::{Conv, Distribution, Optim, Pool, Reduce};
use crate::storage::Device;
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const LIMITS: Limits =
    Limits { binding_size: 1 << 20, buffer_size: 1 << 22, groups_per_dim: 256, offset_alignment: 256 };

/// Compiles for all back ends and returns the size of the parameter slot the shader declares.
fn compile(label: &str, wgsl: &str, access: &str) -> std::result::Result<(), String> {
    use naga::back::{hlsl, msl, spv};
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| format!("{label}: {}", e.emit_to_string(wgsl)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|e| format!("{label}: {}", e.emit_to_string(wgsl)))?;

    let entry = &module.entry_points[0];
    let threads: u32 = entry.workgroup_size.iter().product();
    assert!(threads <= 256, "{label}: {threads} threads");
    let (mut shared, mut storage) = (0, 0);
    for (_, variable) in module.global_variables.iter() {
        let size = module.types[variable.ty].inner.size(module.to_ctx());
        match variable.space {
            naga::AddressSpace::WorkGroup => shared += size,
            naga::AddressSpace::Storage { .. } => storage += 1,
            naga::AddressSpace::Uniform => {
                assert!(size as usize <= PARAM_WORDS * 4, "{label}: parameters of {size} bytes")
            }
            _ => {}
        }
    }
    assert!(shared <= 16 << 10, "{label}: {shared} bytes of shared memory");
    assert_eq!(storage, access.len(), "{label}: bindings");
    assert!(storage <= MAX_BUFFERS, "{label}: {storage} storage buffers");

    let fail = |back: &str, error: String| format!("{label}: {back}: {error}");
    spv::write_vec(&module, &info, &spv::Options::default(), None).map_err(|e| fail("SPIR-V", e.to_string()))?;
    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
        .map_err(|e| fail("MSL", e.to_string()))?;
    let options = hlsl::Options::default();
    hlsl::Writer::new(&mut String::new(), &options, &hlsl::PipelineOptions::default())
        .write(&module, &info, None)
        .map_err(|e| fail("HLSL", e.to_string()))?;
    Ok(())
}

#[derive(Default)]
struct Checker {
    buffers: Mutex<HashMap<BufferId, usize>>,
    pipelines: Mutex<Vec<(String, String)>>,
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor for Checker {
    fn limits(&self) -> Limits {
        LIMITS
    }
    fn alloc(&self, bytes: usize) -> Result<BufferId> {
        assert!(bytes.is_multiple_of(4) && bytes <= LIMITS.buffer_size);
        let mut buffers = lock(&self.buffers);
        let id = buffers.len() as BufferId + 1;
        buffers.insert(id, bytes);
        Ok(id)
    }
    fn free(&self, buffer: BufferId) -> Result<()> {
        lock(&self.buffers).remove(&buffer).expect("a live buffer");
        Ok(())
    }
    fn upload(&self, buffer: BufferId, offset: usize, data: &[u8]) -> Result<()> {
        assert!(offset + data.len() <= lock(&self.buffers)[&buffer]);
        Ok(())
    }
    fn download(&self, buffer: BufferId, offset: usize, out: &mut [u8]) -> Result<()> {
        assert!(offset + out.len() <= lock(&self.buffers)[&buffer]);
        out.fill(0);
        Ok(())
    }
    fn pipeline(&self, key: &str, wgsl: &str, access: &str) -> Result<PipelineId> {
        compile(key, wgsl, access).unwrap_or_else(|message| panic!("{message}"));
        let mut pipelines = lock(&self.pipelines);
        assert!(pipelines.iter().all(|(k, _)| k != key), "{key} compiled twice");
        pipelines.push((key.to_owned(), access.to_owned()));
        Ok(pipelines.len() as PipelineId - 1)
    }
    fn submit(&self, calls: &[Call], params: &[u32]) -> Result<()> {
        assert_eq!(params.len(), calls.len() * PARAM_WORDS);
        let (buffers, pipelines) = (lock(&self.buffers), lock(&self.pipelines));
        for call in calls {
            let (key, access) = &pipelines[call.pipeline as usize];
            assert_eq!(access.len(), call.buffers.len(), "{key}");
            assert!(call.grid.iter().all(|&n| n > 0 && n <= LIMITS.groups_per_dim), "{key}: grid {:?}", call.grid);
            for (i, (view, mode)) in call.buffers.iter().zip(access.chars()).enumerate() {
                assert!(view.offset + view.size <= buffers[&view.buffer], "{key}: binding {i} beyond its buffer");
                assert!(
                    view.offset.is_multiple_of(LIMITS.offset_alignment) && view.size <= LIMITS.binding_size,
                    "{key}"
                );
                for (other, other_mode) in call.buffers[..i].iter().zip(access.chars()) {
                    let clash = other.buffer == view.buffer && mode != other_mode;
                    assert!(!clash, "{key}: one buffer is bound both ways");
                }
            }
        }
        Ok(())
    }
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
    fn detached(&self, f: &mut dyn FnMut()) {
        f();
    }
}

const GPU: Device = Device::Gpu(0);

/// Opens the checking device and records what `f` does on it.
fn on_checker(f: impl FnOnce() -> Result<()>) {
    set_executor_factory(|_| Ok(Box::new(Checker::default())));
    no_grad(f).expect("every call is accepted");
    flush(0).expect("every batch is accepted");
}

fn tensor(shape: &[usize], dtype: DType) -> Result<Tensor> {
    empty(shape, dtype, 0)
}

/// As [`tensor`], with its last two dimensions exchanged in memory.
fn strided(shape: &[usize], dtype: DType) -> Result<Tensor> {
    let t = tensor(shape, dtype)?;
    let n = shape.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.swap(n - 1, n - 2);
    Ok(Tensor::from_parts(t.storage().clone(), t.layout().permute(&order), dtype))
}

#[test]
fn every_elementwise_row_compiles() {
    on_checker(|| {
        for (def, arity) in crate::ops::elementwise::all() {
            assert!(matches!(def.gpu, Gpu::Elementwise { .. }), "{} has a GPU form", def.name);
            for dtype in [DType::F32, DType::I64, DType::U8, DType::Bool] {
                let mut inputs = vec![tensor(&[3, 5], dtype)?, strided(&[5, 3], dtype)?, tensor(&[1], dtype)?];
                inputs.truncate(arity.tensors);
                if def.name == "where" {
                    inputs[0] = tensor(&[3, 5], DType::Bool)?;
                }
                let attrs = if arity.scalars.is_empty() { Attrs::None } else { Attrs::Scalars([0.5, 2.0]) };
                let refs: Vec<&Tensor> = inputs.iter().collect();
                // Types that the op's rule refuses are no concern of the GPU.
                if (def.infer)(&mut attrs.clone(), &refs).is_ok() {
                    call(def, attrs, &refs)?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn casts_compile_between_all_dtypes() {
    on_checker(|| {
        let dtypes = [DType::F32, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8, DType::Bool];
        for from in dtypes {
            for to in dtypes {
                crate::ops::cast(&tensor(&[4], from)?, to)?;
            }
        }
        Ok(())
    });
}

#[test]
fn reductions_compile() {
    on_checker(|| {
        for def in crate::ops::reduce::ALL.iter().copied() {
            for dtype in [DType::F32, DType::I64, DType::Bool] {
                for (shape, dim) in
                    [(&[3usize, 5][..], 1), (&[2, 4096][..], 1), (&[100, 2000][..], 0), (&[1, 1 << 17][..], 1)]
                {
                    let x = tensor(shape, dtype)?;
                    let dims = Some(smallvec::smallvec![dim]);
                    let attrs = Attrs::Reduce(Reduce { dims, ..Reduce::default() });
                    if (def.infer)(&mut attrs.clone(), &[&x]).is_ok() {
                        call(def, attrs, &[&x])?;
                    }
                }
            }
        }
        Ok(())
    });
}

#[test]
fn products_and_convolutions_compile() {
    on_checker(|| {
        for (m, k, n) in [(8, 8, 100), (100, 8, 8), (30, 8, 30), (100, 8, 100), (40, 2000, 40)] {
            let (a, b, bias) =
                (tensor(&[2, m, k], DType::F32)?, strided(&[1, n, k], DType::F32)?, tensor(&[n], DType::F32)?);
            let out = tensor(&[2, m, n], DType::F32)?;
            matmul::matmul("matmul", (&a, a.layout()), (&b, b.layout()), None, &out)?;
            matmul::matmul("linear", (&a, a.layout()), (&b, b.layout()), Some(&bias), &out)?;
        }
        let conv =
            Conv { stride: [1, 2], padding: [1, 1], dilation: [1, 1], groups: 2, shape: [8, 3, 3, 3][..].into() };
        for channels in [8, 64, 200] {
            let (x, w, bias) = (
                tensor(&[2, 6, 12, 12], DType::F32)?,
                tensor(&[channels, 3, 3, 3], DType::F32)?,
                tensor(&[channels], DType::F32)?,
            );
            let y = tensor(&[2, channels, 12, 6], DType::F32)?;
            conv::conv2d(&x, &w, Some(&bias), &conv, &y)?;
            conv::conv2d(&x, &w, None, &conv, &y)?;
            conv::conv2d_input_grad(&y, &w, &conv, &x)?;
            conv::conv2d_weight_grad(&y, &x, &conv, &w)?;
        }
        Ok(())
    });
}

#[test]
fn the_other_families_compile() {
    on_checker(|| {
        let x = tensor(&[2, 3, 8, 8], DType::F32)?;
        let (y, indices) = (tensor(&[2, 3, 4, 4], DType::F32)?, tensor(&[2, 3, 4, 4], DType::I64)?);
        let pool = Pool {
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
            dilation: [1, 1],
            ceil_mode: false,
            count_include_pad: true,
            divisor: None,
            shape: [2, 3, 8, 8][..].into(),
        };
        pooling::max_pool2d(&x, &pool, &y, &indices)?;
        pooling::max_pool2d_backward(&y, &indices, &pool, &x)?;
        pooling::avg_pool2d(&x, &pool, &y)?;
        pooling::avg_pool2d_backward(&y, &pool, &x)?;
        for n in [10, 1000] {
            let (rows, out) = (tensor(&[4, n], DType::F32)?, tensor(&[4, n], DType::F32)?);
            for log in [false, true] {
                softmax::softmax("softmax", log, &rows, 1, &out)?;
                softmax::softmax_backward("softmax", log, &rows, &rows, 1, &out)?;
            }
        }
        for dtype in [DType::F32, DType::I64] {
            let (t, index, out) = (tensor(&[5, 4], dtype)?, tensor(&[3, 4], DType::I64)?, tensor(&[3, 4], dtype)?);
            index::gather("gather", &t, 0, &index, index.layout(), &out)?;
            index::scatter("scatter", false, &t, 0, &index, index.layout(), &out)?;
            index::scatter("scatter_add", true, &t, 0, &index, index.layout(), &out)?;
            reduce::cumsum(&t, 1, &tensor(&[5, 4], dtype)?)?;
            creation::triangle("tril", true, 0, &t, &tensor(&[5, 4], dtype)?)?;
        }
        Ok(())
    });
}

#[test]
fn optimizers_and_random_numbers_compile() {
    on_checker(|| {
        let t = || tensor(&[5, 4], DType::F32);
        let (param, grad, a, b, c) = (t()?, strided(&[4, 5], DType::F32)?, t()?, t()?, t()?);
        let mut o = Optim {
            lr: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            decoupled: false,
            maximize: false,
            steps: vec![1],
        };
        optim::sgd(&o, 1, &param, &grad, None)?;
        optim::sgd(&o, 1, &param, &grad, Some(&a))?;
        o.nesterov = true;
        optim::sgd(&o, 1, &param, &grad, Some(&a))?;
        optim::adam(&o, 1, &param, &grad, &a, &b, None)?;
        optim::adam(&o, 1, &strided(&[4, 5], DType::F32)?, &grad, &a, &b, Some(&c))?;
        let normal = Distribution::Normal(0.0, 1.0);
        let others = [Distribution::Uniform(0.0, 1.0), Distribution::Bernoulli(0.5), Distribution::Integers(-5, 9)];
        crate::ops::random::random(normal, &[9], DType::F32, GPU, 1, 2)?;
        for distribution in others {
            crate::ops::random::random(distribution, &[9], DType::F32, GPU, 1, 2)?;
        }
        for dtype in [DType::I64, DType::U8, DType::Bool] {
            crate::ops::random::random(others[1], &[9], dtype, GPU, 1, 2)?;
            crate::ops::random::random(others[2], &[9], dtype, GPU, 1, 2)?;
        }
        Ok(())
    });
}

#[test]
fn aliased_operands_are_declared_writable() {
    on_checker(|| {
        let x = tensor(&[100], DType::F32)?;
        crate::op::call_inplace(&crate::ops::elementwise::ADD, Attrs::None, &[&x, &x])
    });
}

#[test]
fn large_tensors_are_done_in_pieces_or_refused_by_name() {
    on_checker(|| {
        // Twice what one binding shows, and more groups than one grid dimension holds.
        let n = LIMITS.binding_size / 4 * 2;
        let x = tensor(&[2, n / 2], DType::F32)?;
        let before = stream(0)?.stats()?.dispatches;
        crate::ops::add(&x, &x)?;
        assert!(stream(0)?.stats()?.dispatches >= before + 2);
        let error =
            reduce::reduce("sum", reduce::Kind::Sum, &x, &[0, 1], &tensor(&[], DType::F32)?).expect_err("too large");
        assert!(error.message.contains("max-storage-buffer-binding-size"), "{}", error.message);
        Ok(())
    });
}

#[test]
fn dtypes_without_words_are_refused() {
    on_checker(|| {
        for dtype in [DType::F64, DType::F16, DType::BF16] {
            let error = Tensor::empty_on(&[2], dtype, GPU).expect_err("no such words");
            assert!(error.message.contains(dtype.name()), "{}", error.message);
        }
        let big = Tensor::from_slice(&[1i64 << 40], &[1])?;
        let error = upload(&big, 0).expect_err("beyond int32");
        assert_eq!(error.kind, crate::error::Kind::Overflow);
        Ok(())
    });
}

#[test]
fn the_library_holds_every_file() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shaders");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder exists")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".wgsl").map(str::to_owned))
        .collect();
    files.sort_unstable();
    let mut listed: Vec<&str> = LIBRARY.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(files, listed);
}

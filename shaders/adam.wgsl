// One step of Adam or AdamW for one parameter, in place.  Tensors are contiguous.  What depends on the step number only
// (bias corrections) comes ready in the parameters.
//
// Defines: AMSGRAD; GRAD_BINDING.

#import common

struct Params {
    count: u32, param_offset: u32, mean_offset: u32, square_offset: u32,
    grad_offset: u32, max_offset: u32,
    step_size: f32,          // lr / (1 - beta1^t)
    correction: f32,         // 1 / sqrt(1 - beta2^t)
    beta1: f32, beta2: f32,
    fresh1: f32, fresh2: f32, // 1 - beta, rounded from float64: 1 - 0.999 in float32 is off by 5e-5
    eps: f32,
    decay: f32,              // added to the gradient: weight decay of Adam
    shrink: f32,             // factor on the parameter: 1 - lr * weight decay of AdamW
    sign: f32,               // -1 to maximize
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> square: array<f32>;
#ifdef AMSGRAD
@group(0) @binding(4) var<storage, read_write> max_square: array<f32>;
#endif
@group(0) @binding({{GRAD_BINDING}}) var<storage, read> grad: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = group_index(group, groups) * 256u + local;
    if i >= p.count { return; }
    let value = param[p.param_offset + i] * p.shrink;
    let g = fma(p.decay, value, p.sign * grad[p.grad_offset + i]);
    let m = fma(p.beta1, mean[p.mean_offset + i], p.fresh1 * g);
    var v = fma(p.beta2, square[p.square_offset + i], p.fresh2 * g * g);
    mean[p.mean_offset + i] = m;
    square[p.square_offset + i] = v;
#ifdef AMSGRAD
    v = max(v, max_square[p.max_offset + i]);
    max_square[p.max_offset + i] = v;
#endif
    param[p.param_offset + i] = value - p.step_size * m / (sqrt(v) * p.correction + p.eps);
}

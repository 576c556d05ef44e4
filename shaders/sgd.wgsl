// One step of stochastic gradient descent for one parameter, in place.  Tensors are contiguous.
//
// Defines: MOMENTUM, NESTEROV; GRAD_BINDING.

#import common

struct Params {
    count: u32, param_offset: u32, momentum_offset: u32, grad_offset: u32,
    lr: f32, momentum: f32, fresh: f32, weight_decay: f32,   // fresh: 1 - dampening
    sign: f32,               // -1 to maximize
    first_step: u32,         // the momentum buffer starts as the gradient itself
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>;
#ifdef MOMENTUM
@group(0) @binding(2) var<storage, read_write> momentum: array<f32>;
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
    let value = param[p.param_offset + i];
    var d = fma(p.weight_decay, value, p.sign * grad[p.grad_offset + i]);
#ifdef MOMENTUM
    var m = d;
    if p.first_step == 0u {
        m = fma(p.momentum, momentum[p.momentum_offset + i], p.fresh * d);
    }
    momentum[p.momentum_offset + i] = m;
#ifdef NESTEROV
    d = fma(p.momentum, m, d);
#else
    d = m;
#endif
#endif
    param[p.param_offset + i] = fma(-p.lr, d, value);
}

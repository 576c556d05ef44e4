// The gradient of softmax, out = y (g - sum(g y)), or of log-softmax, out = g - exp(y) sum(g), from the result y.
// The tensors are (outer, n, inner), contiguous.
//
// Defines: LOG; SERIAL (see row.wgsl).

#import common
#import math
#import row

struct Params { rows: u32, n: u32, inner: u32, out_offset: u32, grad_offset: u32, y_offset: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;

@compute @workgroup_size(ROWS_PER_GROUP * ROW_THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = group_index(group, groups) * ROWS_PER_GROUP + local / ROW_THREADS;
    let lane = local % ROW_THREADS;
    if row >= p.rows { return; }
    let base = (row / p.inner) * p.n * p.inner + row % p.inner;

    var sum = 0.0;
    for (var j = lane; j < p.n; j += ROW_THREADS) {
        let at = base + j * p.inner;
#ifdef LOG
        sum += grad[p.grad_offset + at];
#else
        sum += grad[p.grad_offset + at] * y[p.y_offset + at];
#endif
    }
    sum = row_sum(sum, lane);
    for (var j = lane; j < p.n; j += ROW_THREADS) {
        let at = base + j * p.inner;
#ifdef LOG
        out[p.out_offset + at] = grad[p.grad_offset + at] - exp_(y[p.y_offset + at]) * sum;
#else
        out[p.out_offset + at] = y[p.y_offset + at] * (grad[p.grad_offset + at] - sum);
#endif
    }
}

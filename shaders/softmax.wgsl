// softmax and log-softmax over one dimension: the tensor is (outer, n, inner), contiguous, and a row is n elements
// `inner` apart.  The maximum is taken off first, so nothing overflows.
//
// Defines: LOG; SERIAL (see row.wgsl).

#import common
#import math
#import row

struct Params { rows: u32, n: u32, inner: u32, out_offset: u32, in_offset: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;

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
    let source = p.in_offset + base;
    let place = p.out_offset + base;

    var top = -infinity();
    for (var j = lane; j < p.n; j += ROW_THREADS) { top = maximum_(top, input[source + j * p.inner]); }
    top = row_max(top, lane);
    var sum = 0.0;
    for (var j = lane; j < p.n; j += ROW_THREADS) { sum += exp_(input[source + j * p.inner] - top); }
    sum = row_sum(sum, lane);
#ifdef LOG
    let log_sum = log_(sum);
    for (var j = lane; j < p.n; j += ROW_THREADS) {
        out[place + j * p.inner] = (input[source + j * p.inner] - top) - log_sum;
    }
#else
    for (var j = lane; j < p.n; j += ROW_THREADS) {
        out[place + j * p.inner] = exp_(input[source + j * p.inner] - top) / sum;
    }
#endif
}

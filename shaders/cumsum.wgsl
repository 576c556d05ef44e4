// Running sums along one dimension of a contiguous (outer, n, inner) tensor.  A workgroup per row: each thread sums its
// stretch, the stretches' sums are scanned, then each thread writes its own stretch.
//
// Defines: T: f32 or i32, the type of the sums; IN: the input's; MAP: `v` as T.

#import common
#ifdef MATH
#import math
#endif

struct Params { rows: u32, n: u32, inner: u32, out_offset: u32, in_offset: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{T}}>;
@group(0) @binding(2) var<storage, read> input: array<{{IN}}>;

fn map(v: {{IN}}) -> {{T}} {
    return {{MAP}};
}

var<workgroup> sums: array<{{T}}, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = group_index(group, groups);
    if row >= p.rows { return; }
    let base = (row / p.inner) * p.n * p.inner + row % p.inner;
    let chunk = (p.n + 63u) / 64u;
    let first = min(p.n, local * chunk);
    let end = min(p.n, first + chunk);
    var sum = {{T}}(0);
    for (var j = first; j < end; j++) { sum += map(input[p.in_offset + base + j * p.inner]); }
    // The sums up to each stretch, in six rounds rather than sixty additions in a row: every rounding is one of few.
    sums[local] = sum;
    for (var step = 1u; step < 64u; step = step << 1u) {
        workgroupBarrier();
        var before = {{T}}(0);
        if local >= step { before = sums[local - step]; }
        workgroupBarrier();
        sums[local] += before;
    }
    workgroupBarrier();
    var base_sum = {{T}}(0);
    if local > 0u { base_sum = sums[local - 1u]; }
    var running = {{T}}(0);
    for (var j = first; j < end; j++) {
        running += map(input[p.in_offset + base + j * p.inner]);
        out[p.out_offset + base + j * p.inner] = base_sum + running;
    }
}

// out[o] = COMBINE over r of MAP(in[o, r]): sums, products, extrema, any and all, over any set of dimensions.
//
// Kept and reduced dimensions are given apart, so the input is read where it lies.  The order of combination is fixed by
// the shape alone: results repeat to the bit.
//
// Defines: IN, ACC, OUT: types; INIT: neutral element; MAP: `v` to ACC; COMBINE: of `x` and `y`; FINISH: `x` to OUT.
// SERIAL: a thread per result, for short reductions; else a workgroup per result, with a tree in shared memory.
// With `pieces` > 1 each result is cut and out gains a leading dimension of partial results.

#import common
#ifdef MATH
#import math
#endif

struct Params {
    outputs: u32,
    count: u32,              // elements per result
    chunk: u32,              // elements per piece
    pieces: u32,
    out_offset: u32,
    in_offset: u32,
    kept_dims: u32,
    reduced_dims: u32,
    scale: u32,              // a float32 for FINISH
    unused0: u32, unused1: u32, unused2: u32,
    kept_shape: array<vec4<u32>, 2>,       // innermost first, like the strides
    kept_strides: array<vec4<i32>, 2>,
    reduced_shape: array<vec4<u32>, 2>,
    reduced_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{OUT}}>;
@group(0) @binding(2) var<storage, read> input: array<{{IN}}>;

fn kept_base(o: u32) -> u32 {
    var rest = o;
    var at = p.in_offset;
    for (var d = 0u; d < p.kept_dims; d++) {
        let n = p.kept_shape[d >> 2u][d & 3u];
        let next = rest / n;
        at += (rest - next * n) * u32(p.kept_strides[d >> 2u][d & 3u]);
        rest = next;
    }
    return at;
}

fn reduced_at(r: u32) -> u32 {
    if p.reduced_dims == 1u { return r * u32(p.reduced_strides[0].x); }
    var rest = r;
    var at = 0u;
    for (var d = 0u; d < p.reduced_dims; d++) {
        let n = p.reduced_shape[d >> 2u][d & 3u];
        let next = rest / n;
        at += (rest - next * n) * u32(p.reduced_strides[d >> 2u][d & 3u]);
        rest = next;
    }
    return at;
}

fn map(v: {{IN}}) -> {{ACC}} {
    return {{MAP}};
}

fn combine(x: {{ACC}}, y: {{ACC}}) -> {{ACC}} {
    return {{COMBINE}};
}

fn finish(x: {{ACC}}) -> {{OUT}} {
    return {{FINISH}};
}

#ifdef SERIAL
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let o = group_index(group, groups) * 64u + local;
    if o >= p.outputs { return; }
    let base = kept_base(o);
    // Four accumulators: shorter chains of additions are faster and lose less.
    var x0: {{ACC}} = {{INIT}};
    var x1: {{ACC}} = {{INIT}};
    var x2: {{ACC}} = {{INIT}};
    var x3: {{ACC}} = {{INIT}};
    var r = 0u;
    for (; r + 4u <= p.count; r += 4u) {
        x0 = combine(x0, map(input[base + reduced_at(r)]));
        x1 = combine(x1, map(input[base + reduced_at(r + 1u)]));
        x2 = combine(x2, map(input[base + reduced_at(r + 2u)]));
        x3 = combine(x3, map(input[base + reduced_at(r + 3u)]));
    }
    for (; r < p.count; r++) {
        x0 = combine(x0, map(input[base + reduced_at(r)]));
    }
    out[p.out_offset + o] = finish(combine(combine(x0, x1), combine(x2, x3)));
}
#else
var<workgroup> shared_values: array<{{ACC}}, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group_index(group, groups);
    if number >= p.outputs * p.pieces { return; }
    let piece = number / p.outputs;
    let o = number - piece * p.outputs;
    let base = kept_base(o);
    let end = min(p.count, (piece + 1u) * p.chunk);
    var x: {{ACC}} = {{INIT}};
    for (var r = piece * p.chunk + local; r < end; r += 256u) {
        x = combine(x, map(input[base + reduced_at(r)]));
    }
    shared_values[local] = x;
    for (var step = 128u; step > 0u; step = step >> 1u) {
        workgroupBarrier();
        if local < step {
            shared_values[local] = combine(shared_values[local], shared_values[local + step]);
        }
    }
    if local == 0u {
        out[p.out_offset + number] = finish(shared_values[0]);
    }
}
#endif

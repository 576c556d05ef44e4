// Running sums along one dimension of a contiguous (outer, n, inner) tensor.  A workgroup per row: each thread sums its
// stretch, the stretches' sums are scanned, then each thread writes its own stretch.
//
// Defines: T: f32 or i32, the type of the sums; FLOAT where it is f32; IN: the input's type; MAP: `v` as T.

#import common
#import math

struct Params { rows: u32, n: u32, inner: u32, out_offset: u32, in_offset: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{T}}>;
@group(0) @binding(2) var<storage, read> input: array<{{IN}}>;

#ifdef FLOAT
// A sum and what its roundings lost: a small result late in a long row is made of large ones.
alias Sum = vec2<f32>;

fn add(a: Sum, b: Sum) -> Sum {
    let n = f32(p.n);  // never infinite, as the sums may be
    let s = opaque(a.x + b.x, n);
    let t = opaque(s - a.x, n);
    let lost = opaque(a.x - opaque(s - t, n), n) + opaque(b.x - t, n);
    return Sum(s, lost + a.y + b.y);
}

fn value(a: Sum) -> f32 { return select(a.x, a.x + a.y, isfinite_(a.x)); }  // what infinity lost is NaN

fn map(v: {{IN}}) -> Sum { return Sum({{MAP}}, 0.0); }
#else
alias Sum = i32;

fn add(a: Sum, b: Sum) -> Sum { return a + b; }

fn value(a: Sum) -> i32 { return a; }

fn map(v: {{IN}}) -> Sum { return {{MAP}}; }
#endif

var<workgroup> sums: array<Sum, 64>;

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
    var sum = Sum();
    for (var j = first; j < end; j++) { sum = add(sum, map(input[p.in_offset + base + j * p.inner])); }
    sums[local] = sum;
    for (var step = 1u; step < 64u; step = step << 1u) {
        workgroupBarrier();
        var before = Sum();
        if local >= step { before = sums[local - step]; }
        workgroupBarrier();
        sums[local] = add(before, sums[local]);
    }
    workgroupBarrier();
    var running = Sum();
    if local > 0u { running = sums[local - 1u]; }
    for (var j = first; j < end; j++) {
        running = add(running, map(input[p.in_offset + base + j * p.inner]));
        out[p.out_offset + base + j * p.inner] = value(running);
    }
}

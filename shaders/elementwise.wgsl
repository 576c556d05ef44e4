// out[i] = EXPR(a[i], b[i], c[i]) over any strides: arithmetic, comparisons, casts, fills and every copy.
//
// Defines: EXPR, with the values a, b, c (of types TA, TB, TC) and the position i; OUT, its type; for each operand either
// BIND_X, its binding, or X_SCALAR: it is a number in the parameters; CONTIGUOUS: all operands lie in order.

#import common
#ifdef MATH
#import math
#endif

struct Params {
    count: u32,
    dims: u32,
    out_offset: u32,
    a_offset: u32,
    b_offset: u32,
    c_offset: u32,
    first: u32,                          // of i, where a large tensor is done in pieces
    unused: u32,
    scalars: array<vec4<u32>, 1>,        // a, b, c, and one for EXPR
    shape: array<vec4<u32>, 2>,          // innermost dimension first, like the strides
    out_strides: array<vec4<i32>, 2>,
    a_strides: array<vec4<i32>, 2>,
    b_strides: array<vec4<i32>, 2>,
    c_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{OUT}}>;
#ifdef BIND_A
@group(0) @binding(2) var<storage, read> in_a: array<{{TA}}>;
#endif
#ifdef BIND_B
@group(0) @binding({{BIND_B}}) var<storage, read> in_b: array<{{TB}}>;
#endif
#ifdef BIND_C
@group(0) @binding({{BIND_C}}) var<storage, read> in_c: array<{{TC}}>;
#endif

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = group_index(group, groups) * 256u + local;
    if id >= p.count { return; }
    let i = p.first + id;
    var at_out = p.out_offset;
    var at_a = p.a_offset;
    var at_b = p.b_offset;
    var at_c = p.c_offset;
#ifdef CONTIGUOUS
    at_out += id;
    at_a += id;
    at_b += id;
    at_c += id;
#else
    var rest = id;
    for (var d = 0u; d < p.dims; d++) {
        let n = p.shape[d >> 2u][d & 3u];
        let next = rest / n;
        let x = rest - next * n;
        rest = next;
        at_out += x * u32(p.out_strides[d >> 2u][d & 3u]);  // wraps to the right place when negative
        at_a += x * u32(p.a_strides[d >> 2u][d & 3u]);
        at_b += x * u32(p.b_strides[d >> 2u][d & 3u]);
        at_c += x * u32(p.c_strides[d >> 2u][d & 3u]);
    }
#endif
#ifdef A_SCALAR
    let a = bitcast<{{TA}}>(p.scalars[0].x);
#endif
#ifdef BIND_A
    let a = in_a[at_a];
#endif
#ifdef B_SCALAR
    let b = bitcast<{{TB}}>(p.scalars[0].y);
#endif
#ifdef BIND_B
    let b = in_b[at_b];
#endif
#ifdef C_SCALAR
    let c = bitcast<{{TC}}>(p.scalars[0].z);
#endif
#ifdef BIND_C
    let c = in_c[at_c];
#endif
    out[at_out] = {{EXPR}};
}

// out[i] = EXPR(x[i], y[i], z[i]) over any strides: arithmetic, comparisons, casts, fills and every copy.
//
// Defines: EXPR, over x, y, z, the numbers p0 and p1 (of type P) and the position i; OUT, its type.  For each operand: TX,
// the type it is stored in; either BIND_X, its binding, or X_NUMBER: it is a number in the parameters; AS_X: `stored` as
// EXPR wants it.  CONTIGUOUS: all operands lie in order.  FAULT: the binding of the device's note, for integer division.

#import common
#ifdef MATH
#import math
#endif

struct Params {
    count: u32,
    dims: u32,
    out_offset: u32,
    x_offset: u32,
    y_offset: u32,
    z_offset: u32,
    first: u32,                          // of i, where a large tensor is done in pieces
    op: u32,                             // who divided by zero, for `fault`
    numbers: vec4<u32>,                  // x, y, z
    extra: vec4<u32>,                    // p0, p1, and more for EXPR
    shape: array<vec4<u32>, 2>,          // innermost dimension first, like the strides
    out_strides: array<vec4<i32>, 2>,
    x_strides: array<vec4<i32>, 2>,
    y_strides: array<vec4<i32>, 2>,
    z_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{OUT}}>;
#ifdef FAULT
@group(0) @binding({{FAULT}}) var<storage, read_write> fault: array<i32>;
#endif
#ifdef BIND_X
@group(0) @binding({{BIND_X}}) var<storage, read> in_x: array<{{TX}}>;
#endif
#ifdef BIND_Y
@group(0) @binding({{BIND_Y}}) var<storage, read> in_y: array<{{TY}}>;
#endif
#ifdef BIND_Z
@group(0) @binding({{BIND_Z}}) var<storage, read> in_z: array<{{TZ}}>;
#endif

#ifdef AS_X
fn as_x(stored: {{TX}}) -> {{CX}} { return {{AS_X}}; }
#endif
#ifdef AS_Y
fn as_y(stored: {{TY}}) -> {{CY}} { return {{AS_Y}}; }
#endif
#ifdef AS_Z
fn as_z(stored: {{TZ}}) -> {{CZ}} { return {{AS_Z}}; }
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
    var at_x = p.x_offset;
    var at_y = p.y_offset;
    var at_z = p.z_offset;
#ifdef CONTIGUOUS
    at_out += id;
    at_x += id;
    at_y += id;
    at_z += id;
#else
    var rest = id;
    for (var d = 0u; d < p.dims; d++) {
        let n = p.shape[d >> 2u][d & 3u];
        let next = rest / n;
        let k = rest - next * n;
        rest = next;
        at_out += k * u32(p.out_strides[d >> 2u][d & 3u]);  // wraps to the right place when negative
        at_x += k * u32(p.x_strides[d >> 2u][d & 3u]);
        at_y += k * u32(p.y_strides[d >> 2u][d & 3u]);
        at_z += k * u32(p.z_strides[d >> 2u][d & 3u]);
    }
#endif
    let p0 = bitcast<{{P}}>(p.extra.x);
    let p1 = bitcast<{{P}}>(p.extra.y);
#ifdef X_NUMBER
    let x = as_x(bitcast<{{TX}}>(p.numbers.x));
#endif
#ifdef BIND_X
    let x = as_x(in_x[at_x]);
#endif
#ifdef Y_NUMBER
    let y = as_y(bitcast<{{TY}}>(p.numbers.y));
#endif
#ifdef BIND_Y
    let y = as_y(in_y[at_y]);
#endif
#ifdef Z_NUMBER
    let z = as_z(bitcast<{{TZ}}>(p.numbers.z));
#endif
#ifdef BIND_Z
    let z = as_z(in_z[at_z]);
#endif
    out[at_out] = {{EXPR}};
}

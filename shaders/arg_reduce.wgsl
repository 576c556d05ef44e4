// The extreme value along a reduction and where it is: max, min, argmax, argmin.
//
// The first of equal values wins, and a NaN beats every number, as in torch.  A workgroup per result.
//
// Defines: T: element type; BEATS: whether `x` beats `y`; FLOAT where NaN exists; VALUES and INDICES: which of the two
// results are written, with their bindings; IN_BINDING.

#import common

struct Params {
    outputs: u32,
    count: u32,
    values_offset: u32,
    indices_offset: u32,
    in_offset: u32,
    kept_dims: u32,
    reduced_dims: u32,
    unused: u32,
    kept_shape: array<vec4<u32>, 2>,       // innermost first, like the strides
    kept_strides: array<vec4<i32>, 2>,
    reduced_shape: array<vec4<u32>, 2>,
    reduced_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> p: Params;
#ifdef VALUES
@group(0) @binding({{VALUES}}) var<storage, read_write> values: array<{{T}}>;
#endif
#ifdef INDICES
@group(0) @binding({{INDICES}}) var<storage, read_write> indices: array<i32>;
#endif
@group(0) @binding({{IN_BINDING}}) var<storage, read> input: array<{{T}}>;

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

// Whether (x, i) should replace (y, j).
fn wins(x: {{T}}, i: u32, y: {{T}}, j: u32) -> bool {
#ifdef FLOAT
    let x_nan = isnan_(x);
    let y_nan = isnan_(y);
    if x_nan || y_nan { return x_nan && (!y_nan || i < j); }
#endif
    return {{BEATS}} || (x == y && i < j);
}

var<workgroup> best_values: array<{{T}}, 256>;
var<workgroup> best_indices: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let o = group_index(group, groups);
    if o >= p.outputs { return; }
    let base = kept_base(o);
    // Threads beyond the end start with a copy of the first element: it cannot win over the original.
    var at = select(0u, local, local < p.count);
    var x = input[base + reduced_at(at)];
    for (var r = local + 256u; r < p.count; r += 256u) {
        let v = input[base + reduced_at(r)];
        if wins(v, r, x, at) {
            x = v;
            at = r;
        }
    }
    best_values[local] = x;
    best_indices[local] = at;
    for (var step = 128u; step > 0u; step = step >> 1u) {
        workgroupBarrier();
        if local < step {
            let other = local + step;
            if wins(best_values[other], best_indices[other], best_values[local], best_indices[local]) {
                best_values[local] = best_values[other];
                best_indices[local] = best_indices[other];
            }
        }
    }
    if local == 0u {
#ifdef VALUES
        values[p.values_offset + o] = best_values[0];
#endif
#ifdef INDICES
        indices[p.indices_offset + o] = i32(best_indices[0]);
#endif
    }
}

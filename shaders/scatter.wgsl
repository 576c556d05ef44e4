// out[i, index[i, j, ...], ...] = source[i, j, ...], or += with ADD.  A thread walks the indexed dimension of one column
// from its start, so equal indices are handled in order: the last one wins, and sums repeat to the bit.  `out` holds the
// tensor that is scattered into.
//
// Defines: T: element type; ADD.

#import common
#import fault

struct Params {
    columns: u32,
    dims: u32,
    length: u32,             // of the index along the indexed dimension
    size: u32,               // of the result along it
    out_offset: u32, source_offset: u32, index_offset: u32, op: u32,
    out_stride: i32, source_stride: i32, index_stride: i32, unused: u32,
    shape: array<vec4<u32>, 2>,            // of the index without the indexed dimension, innermost first
    out_strides: array<vec4<i32>, 2>,
    source_strides: array<vec4<i32>, 2>,
    index_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{T}}>;
@group(0) @binding(2) var<storage, read_write> fault: array<i32>;
@group(0) @binding(3) var<storage, read> index: array<i32>;
@group(0) @binding(4) var<storage, read> source: array<{{T}}>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column = group_index(group, groups) * 64u + local;
    if column >= p.columns { return; }
    var rest = column;
    var at_out = p.out_offset;
    var at_source = p.source_offset;
    var at_index = p.index_offset;
    for (var d = 0u; d < p.dims; d++) {
        let n = p.shape[d >> 2u][d & 3u];
        let next = rest / n;
        let x = rest - next * n;
        rest = next;
        at_out += x * u32(p.out_strides[d >> 2u][d & 3u]);
        at_source += x * u32(p.source_strides[d >> 2u][d & 3u]);
        at_index += x * u32(p.index_strides[d >> 2u][d & 3u]);
    }
    for (var j = 0u; j < p.length; j++) {
        let k = checked_index(index[at_index + j * u32(p.index_stride)], p.size, p.op);
        if k < 0 { continue; }
        let value = source[at_source + j * u32(p.source_stride)];
        let place = at_out + u32(k) * u32(p.out_stride);
#ifdef ADD
        out[place] += value;
#else
        out[place] = value;
#endif
    }
}

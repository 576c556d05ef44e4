// out[i, j, ...] = input[i, index[i, j, ...], ...]: the element whose position along one dimension the index names.
// index_select and embedding are the case of an index that does not depend on the other dimensions.
//
// Defines: T: element type.  An index outside the dimension is reported in `fault`, and gives 0.

#import common
#import fault

struct Params {
    count: u32,
    dims: u32,
    size: u32,               // of the indexed dimension
    stride: i32,             // of the indexed dimension in the input
    out_offset: u32, in_offset: u32, index_offset: u32, op: u32,
    shape: array<vec4<u32>, 2>,            // of the result, innermost first
    in_strides: array<vec4<i32>, 2>,       // 0 for the indexed dimension
    index_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{T}}>;
@group(0) @binding(2) var<storage, read_write> fault: array<i32>;
@group(0) @binding(3) var<storage, read> input: array<{{T}}>;
@group(0) @binding(4) var<storage, read> index: array<i32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = group_index(group, groups) * 256u + local;
    if i >= p.count { return; }
    var rest = i;
    var at_in = p.in_offset;
    var at_index = p.index_offset;
    for (var d = 0u; d < p.dims; d++) {
        let n = p.shape[d >> 2u][d & 3u];
        let next = rest / n;
        let x = rest - next * n;
        rest = next;
        at_in += x * u32(p.in_strides[d >> 2u][d & 3u]);
        at_index += x * u32(p.index_strides[d >> 2u][d & 3u]);
    }
    let k = checked_index(index[at_index], p.size, p.op);
    if k < 0 {
        out[p.out_offset + i] = {{T}}(0);
        return;
    }
    out[p.out_offset + i] = input[at_in + u32(k) * u32(p.stride)];
}

// The gradient of max_pool2d: each input gathers from the windows that chose it.  A thread per input, so no two threads
// add to one place and the order of the sum is fixed.

#import pool2d_params
#import common

@group(0) @binding(1) var<storage, read_write> grad_in: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> indices: array<i32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = group_index(group, groups) * 256u + local;
    if i >= p.count { return; }
    let image = divide(i, p.in_w * p.in_h);
    let position = i32(i - image * p.in_w * p.in_h);
    let y = divide(u32(position), p.in_w);
    let x = u32(position) - y * p.in_w;
    let plane = image * p.out_h * p.out_w;
    var sum = 0.0;
    for (var ky = 0u; ky < p.kernel_h; ky++) {
        let sy = y + p.padding_h - ky * p.dilation_h;
        if sy >= 0x80000000u { continue; }
        let oy = divide(sy, p.stride_h);
        if oy * p.stride_h != sy || oy >= p.out_h { continue; }
        for (var kx = 0u; kx < p.kernel_w; kx++) {
            let sx = x + p.padding_w - kx * p.dilation_w;
            if sx >= 0x80000000u { continue; }
            let ox = divide(sx, p.stride_w);
            if ox * p.stride_w != sx || ox >= p.out_w { continue; }
            let o = plane + oy * p.out_w + ox;
            if indices[p.indices_offset + o] == position { sum += grad[p.in_offset + o]; }
        }
    }
    grad_in[p.out_offset + i] = sum;
}

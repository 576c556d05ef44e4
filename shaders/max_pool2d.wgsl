// The largest element of each window, and its position y * width + x in the input plane.  A thread per output.

#import pool2d_params
#import common

@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;
@group(0) @binding(3) var<storage, read> input: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = group_index(group, groups) * 256u + local;
    if i >= p.count { return; }
    let image = divide(i, p.out_w * p.out_h);
    let pixel = i - image * p.out_w * p.out_h;
    let oy = divide(pixel, p.out_w);
    let ox = pixel - oy * p.out_w;
    let plane = p.in_offset + image * p.in_h * p.in_w;
    var best = -infinity();
    var at = -1;
    for (var ky = 0u; ky < p.kernel_h; ky++) {
        let y = oy * p.stride_h + ky * p.dilation_h - p.padding_h;  // wraps to a huge number above the image
        if y >= p.in_h { continue; }
        for (var kx = 0u; kx < p.kernel_w; kx++) {
            let x = ox * p.stride_w + kx * p.dilation_w - p.padding_w;
            if x >= p.in_w { continue; }
            let v = input[plane + y * p.in_w + x];
            if at < 0 || v > best || isnan_(v) {
                best = v;
                at = i32(y * p.in_w + x);
            }
        }
    }
    out[p.out_offset + i] = best;
    indices[p.indices_offset + i] = at;
}

// The gradient of avg_pool2d: each input gathers its share from the windows that hold it.  A thread per input.

#import pool2d_params
#import common
#import avg_pool2d_window

@group(0) @binding(1) var<storage, read_write> grad_in: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = group_index(group, groups) * 256u + local;
    if i >= p.count { return; }
    let x = i % p.in_w;
    let y = (i / p.in_w) % p.in_h;
    let plane = p.in_offset + i / (p.in_w * p.in_h) * p.out_h * p.out_w;
    // Output o covers o * stride - padding up to that plus kernel - 1.
    let py = y + p.padding_h;
    let px = x + p.padding_w;
    let first_y = select(0u, (py - p.kernel_h) / p.stride_h + 1u, py >= p.kernel_h);
    let first_x = select(0u, (px - p.kernel_w) / p.stride_w + 1u, px >= p.kernel_w);
    var sum = 0.0;
    for (var oy = first_y; oy < min(p.out_h, py / p.stride_h + 1u); oy++) {
        let wy = window(oy, p.in_h, p.kernel_h, p.stride_h, p.padding_h);
        for (var ox = first_x; ox < min(p.out_w, px / p.stride_w + 1u); ox++) {
            let wx = window(ox, p.in_w, p.kernel_w, p.stride_w, p.padding_w);
            sum += grad[plane + oy * p.out_w + ox] / divisor(wy, wx);
        }
    }
    grad_in[p.out_offset + i] = sum;
}

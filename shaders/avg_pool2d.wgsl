// The mean of each window.  A thread per output.

#import pool2d_params
#import common
#import avg_pool2d_window

@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = group_index(group, groups) * 256u + local;
    if i >= p.count { return; }
    let wx = window(i % p.out_w, p.in_w, p.kernel_w, p.stride_w, p.padding_w);
    let wy = window((i / p.out_w) % p.out_h, p.in_h, p.kernel_h, p.stride_h, p.padding_h);
    let plane = p.in_offset + i / (p.out_w * p.out_h) * p.in_h * p.in_w;
    var sum = 0.0;
    for (var y = wy.first; y < wy.end; y++) {
        for (var x = wx.first; x < wx.end; x++) { sum += input[plane + y * p.in_w + x]; }
    }
    out[p.out_offset + i] = sum / divisor(wy, wx);
}

// The gradient of conv2d for its input: grad_in[i, ci, y, x] = sum over co, ky, kx of
// weight[co, ci, ky, kx] grad[i, co, (y + padding - ky*dilation) / stride, ...], where the division is exact.
//
// As a matrix product per group: rows are input channels, columns the input pixels of all images, k is (co, ky, kx).
// It also is the transposed convolution.  Operands are contiguous; `in_offset` belongs to grad.
//
// Defines: TILE_M, TILE_N.

#import conv2d_params

@group(0) @binding(1) var<storage, read_write> grad_in: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;

#import common
#import gemm

var<private> channel: u32;      // first output channel of the group
var<private> in_channel: u32;   // first input channel of the group

fn begin(z: u32) -> vec2<u32> {
    channel = z * p.group_out;
    in_channel = z * p.m;
    return vec2<u32>(0u, p.k);
}

fn load_a(m: u32, k: u32) -> f32 {
    let taps = p.kernel_h * p.kernel_w;
    let co = divide(k, taps);
    let tap = k - co * taps;
    return weight[p.weight_offset + ((channel + co) * p.m + m) * taps + tap];
}

fn load_b(k: u32, n: u32) -> f32 {
    let taps = p.kernel_h * p.kernel_w;
    let co = divide(k, taps);
    let tap = k - co * taps;
    let ky = divide(tap, p.kernel_w);
    let kx = tap - ky * p.kernel_w;
    let pixels = p.in_h * p.in_w;
    let image = divide(n, pixels);
    let pixel = n - image * pixels;
    let y = divide(pixel, p.in_w);
    let x = pixel - y * p.in_w;
    // Wraps to a huge number where the tap lies outside.
    let sy = y + p.padding_h - ky * p.dilation_h;
    let sx = x + p.padding_w - kx * p.dilation_w;
    if sy >= 0x80000000u || sx >= 0x80000000u { return 0.0; }
    let oy = divide(sy, p.stride_h);
    let ox = divide(sx, p.stride_w);
    if oy * p.stride_h != sy || ox * p.stride_w != sx || oy >= p.out_h || ox >= p.out_w { return 0.0; }
    return grad[p.in_offset + ((image * p.out_channels + channel + co) * p.out_h + oy) * p.out_w + ox];
}

fn store_c(m: u32, n: u32, value: f32) {
    let pixels = p.in_h * p.in_w;
    let image = divide(n, pixels);
    grad_in[p.out_offset + (image * p.in_channels + in_channel + m) * pixels + (n - image * pixels)] = value;
}

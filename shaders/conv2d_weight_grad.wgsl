// The gradient of conv2d for its weight: grad_w[co, ci, ky, kx] = sum over images and output pixels of
// grad[i, co, oy, ox] input[i, ci, oy*stride + ky*dilation - padding, ...].
//
// As a matrix product per group: rows are output channels, columns are (ci, ky, kx), and k runs over the pixels of all
// images.  That k is long and the result small, so it is cut into pieces; out has a leading dimension of partial sums,
// which the caller adds up: always the same numbers, unlike atomics.  Operands are contiguous; `weight_offset`
// belongs to grad.
//
// Defines: TILE_M, TILE_N.

#import conv2d_params

@group(0) @binding(1) var<storage, read_write> grad_weight: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read> grad: array<f32>;

#import common
#import gemm

var<private> channel: u32;      // first output channel of the group
var<private> in_channel: u32;   // first input channel of the group
var<private> out_base: u32;

fn begin(z: u32) -> vec2<u32> {
    let group = z % p.groups;
    channel = group * p.group_out;
    in_channel = group * p.group_in;
    out_base = p.out_offset + z * p.m * p.n;
    let first = (z / p.groups) * p.k_chunk;
    return vec2<u32>(first, min(p.k, first + p.k_chunk));
}

fn load_a(m: u32, k: u32) -> f32 {
    let pixels = p.out_h * p.out_w;
    let image = divide(k, pixels);
    return grad[p.weight_offset + (image * p.out_channels + channel + m) * pixels + (k - image * pixels)];
}

fn load_b(k: u32, n: u32) -> f32 {
    let taps = p.kernel_h * p.kernel_w;
    let ci = divide(n, taps);
    let tap = n - ci * taps;
    let ky = divide(tap, p.kernel_w);
    let kx = tap - ky * p.kernel_w;
    let pixels = p.out_h * p.out_w;
    let image = divide(k, pixels);
    let pixel = k - image * pixels;
    let oy = divide(pixel, p.out_w);
    let ox = pixel - oy * p.out_w;
    let y = oy * p.stride_h + ky * p.dilation_h - p.padding_h;
    let x = ox * p.stride_w + kx * p.dilation_w - p.padding_w;
    if y >= p.in_h || x >= p.in_w { return 0.0; }
    return input[p.in_offset + ((image * p.in_channels + in_channel + ci) * p.in_h + y) * p.in_w + x];
}

fn store_c(m: u32, n: u32, value: f32) {
    grad_weight[out_base + m * p.n + n] = value;
}

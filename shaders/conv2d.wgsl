// out[i, co, y, x] = sum over ci, ky, kx of weight[co, ci, ky, kx] input[i, ci, y*stride + ky*dilation - padding, ...]
//
// As a matrix product per group, without writing the unfolded image: rows are output channels, columns are the output
// pixels of all images, and k runs over (ci, ky, kx).  Operands are contiguous.
//
// Defines: TILE_M, TILE_N; BIAS.

#import conv2d_params

@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
#ifdef BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif

#import common
#import gemm

var<private> channel: u32;      // first output channel of the group
var<private> in_channel: u32;   // first input channel of the group

fn begin(z: u32) -> vec2<u32> {
    channel = z * p.m;
    in_channel = z * p.group_in;
    return vec2<u32>(0u, p.k);
}

fn load_a(m: u32, k: u32) -> f32 {
    return weight[p.weight_offset + (channel + m) * p.k + k];
}

fn load_b(k: u32, n: u32) -> f32 {
    let taps = p.kernel_h * p.kernel_w;
    let ci = divide(k, taps);
    let tap = k - ci * taps;
    let ky = divide(tap, p.kernel_w);
    let kx = tap - ky * p.kernel_w;
    let pixels = p.out_h * p.out_w;
    let image = divide(n, pixels);
    let pixel = n - image * pixels;
    let oy = divide(pixel, p.out_w);
    let ox = pixel - oy * p.out_w;
    // Above the image these wrap to huge numbers, so one comparison covers both sides.
    let y = oy * p.stride_h + ky * p.dilation_h - p.padding_h;
    let x = ox * p.stride_w + kx * p.dilation_w - p.padding_w;
    if y >= p.in_h || x >= p.in_w { return 0.0; }
    return input[p.in_offset + ((image * p.in_channels + in_channel + ci) * p.in_h + y) * p.in_w + x];
}

fn store_c(m: u32, n: u32, value: f32) {
    let pixels = p.out_h * p.out_w;
    let image = divide(n, pixels);
    var v = value;
#ifdef BIAS
    v += bias[p.bias_offset + channel + m];
#endif
    out[p.out_offset + (image * p.out_channels + channel + m) * pixels + (n - image * pixels)] = v;
}

// out[z, m, n] = sum over k of a[z, m, k] b[z, k, n] (+ bias[n]), with any strides: transposed operands and broadcast
// batches are read where they lie.
//
// Defines: TILE_M, TILE_N; BIAS.  With `pieces` > 1 the sum over k is cut, and out gains a leading dimension of partial
// sums for the caller to add up.

struct Params {
    m: u32, n: u32, k: u32, z: u32,            // z = pieces * batches
    a_k_fast: u32, b_k_fast: u32, k_chunk: u32, batches: u32,
    a_offset: u32, b_offset: u32, bias_offset: u32, bias_stride: i32,
    a_m: i32, a_k: i32, b_k: i32, b_n: i32,
    out_offset: u32, batch_dims: u32, unused0: u32, unused1: u32,
    batch_shape: array<vec4<u32>, 2>,          // innermost first, like the strides
    a_batch: array<vec4<i32>, 2>,
    b_batch: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
#ifdef BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif

#import common
#import gemm

var<private> a_base: u32;
var<private> b_base: u32;
var<private> out_base: u32;

fn begin(z: u32) -> vec2<u32> {
    var rest = z % p.batches;
    a_base = p.a_offset;
    b_base = p.b_offset;
    out_base = p.out_offset + z * p.m * p.n;
    for (var d = 0u; d < p.batch_dims; d++) {
        let n = p.batch_shape[d >> 2u][d & 3u];
        let x = rest % n;
        rest = rest / n;
        a_base += x * u32(p.a_batch[d >> 2u][d & 3u]);
        b_base += x * u32(p.b_batch[d >> 2u][d & 3u]);
    }
    let first = (z / p.batches) * p.k_chunk;
    return vec2<u32>(first, min(p.k, first + p.k_chunk));
}

fn load_a(m: u32, k: u32) -> f32 {
    return a[a_base + m * u32(p.a_m) + k * u32(p.a_k)];
}

fn load_b(k: u32, n: u32) -> f32 {
    return b[b_base + k * u32(p.b_k) + n * u32(p.b_n)];
}

fn store_c(m: u32, n: u32, value: f32) {
    var v = value;
#ifdef BIAS
    v += bias[p.bias_offset + n * u32(p.bias_stride)];
#endif
    out[out_base + m * p.n + n] = v;
}

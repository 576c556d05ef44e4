// Random numbers that depend on (seed, offset, element index) and on nothing else: Philox4x32-10, bit for bit as
// rust/kernels/src/philox.rs makes them.  A thread per block of four elements.
//
// Where the Rust code multiplies and then adds, `opaque` keeps the compiler from fusing or reordering the two.
//
// Defines: one of UNIFORM (p0 width, p1 low), NORMAL (p0 std, p1 mean), BERNOULLI (p0 probability), INTEGERS (range and
// low as words); OUT: element type; STORE: `v` (f32, or i32 for INTEGERS) as OUT.

#import common
#import math

struct Params {
    count: u32, out_offset: u32, seed_low: u32, seed_high: u32,
    offset_low: u32, offset_high: u32, range: u32, low: i32,      // range 0 stands for 2^32
    p0: f32, p1: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<{{OUT}}>;

fn philox(counter_low: u32, counter_high: u32) -> vec4<u32> {
    var x = vec4<u32>(counter_low, counter_high, 0u, 0u);
    var key = vec2<u32>(p.seed_low, p.seed_high);
    for (var round = 0; round < 10; round++) {
        let a = multiply_wide(0xD2511F53u, x.x);
        let b = multiply_wide(0xCD9E8D57u, x.z);
        x = vec4<u32>(b.x ^ x.y ^ key.x, b.y, a.x ^ x.w ^ key.y, a.y);
        key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return x;
}

// In [0, 1), with 24 random bits.
fn unit(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}

#ifdef NORMAL
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    return opaque(a * b, a) + c;
}

// log(u) for u in (0, 1].
fn unit_log(u: f32) -> f32 {
    let bits = bitcast<u32>(u);
    var exponent = i32(bits >> 23u) - 127;
    var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u);
    if m > 1.4142135 {
        m *= 0.5;
        exponent += 1;
    }
    let f = m - 1.0;
    var q = 7.0376836e-2;
    q = mul_add(q, f, -1.151461e-1);
    q = mul_add(q, f, 1.1676999e-1);
    q = mul_add(q, f, -1.2420141e-1);
    q = mul_add(q, f, 1.4249323e-1);
    q = mul_add(q, f, -1.6668058e-1);
    q = mul_add(q, f, 2.0000715e-1);
    q = mul_add(q, f, -2.4999994e-1);
    q = mul_add(q, f, 3.3333331e-1);
    let square = opaque(f * f, f);
    let cube = opaque(f * square, f);
    let small = opaque(opaque(cube * q, f) - opaque(0.5 * square, f), f);
    return opaque(f32(exponent) * 0.69314718, f) + opaque(f + small, f);
}

// Two normal numbers from two words.
fn normal(a: u32, b: u32) -> vec2<f32> {
    let radius = sqrt(-2.0 * unit_log(f32((a >> 8u) + 1u) * 5.9604644775390625e-8));
    let u = unit(b);
    let quarter = floor(mul_add(u, 4.0, 0.5));
    let r = opaque(u - quarter * 0.25, u) * 6.2831855;
    let z = opaque(r * r, r);
    let s = mul_add(mul_add(-1.9515296e-4, z, 8.332161e-3), z, -1.6666655e-1);
    let sine = mul_add(opaque(s * z, z), r, r);
    let c = mul_add(mul_add(2.4433157e-5, z, -1.3887316e-3), z, 4.1666646e-2);
    let cosine = opaque(opaque(opaque(c * z, z) * z, z) - opaque(0.5 * z, z), z) + 1.0;
    var x = cosine;
    var y = sine;
    switch i32(quarter) & 3 {
        case 0: {}
        case 1: { x = -sine; y = cosine; }
        case 2: { x = -cosine; y = -sine; }
        default: { x = sine; y = -cosine; }
    }
    return radius * vec2<f32>(x, y);
}
#endif

#ifdef INTEGERS
fn store(i: u32, v: i32) {
#else
fn store(i: u32, v: f32) {
#endif
    if i < p.count { out[p.out_offset + i] = {{STORE}}; }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = group_index(group, groups) * 256u + local;
    let i = 4u * b;
    if i >= p.count { return; }
    let low = p.offset_low + b;
    let w = philox(low, p.offset_high + select(0u, 1u, low < b));
#ifdef UNIFORM
    store(i, opaque(unit(w.x) * p.p0, p.p0) + p.p1);
    store(i + 1u, opaque(unit(w.y) * p.p0, p.p0) + p.p1);
    store(i + 2u, opaque(unit(w.z) * p.p0, p.p0) + p.p1);
    store(i + 3u, opaque(unit(w.w) * p.p0, p.p0) + p.p1);
#endif
#ifdef NORMAL
    let first = normal(w.x, w.y);
    let second = normal(w.z, w.w);
    store(i, opaque(first.x * p.p0, p.p0) + p.p1);
    store(i + 1u, opaque(first.y * p.p0, p.p0) + p.p1);
    store(i + 2u, opaque(second.x * p.p0, p.p0) + p.p1);
    store(i + 3u, opaque(second.y * p.p0, p.p0) + p.p1);
#endif
#ifdef BERNOULLI
    store(i, select(0.0, 1.0, unit(w.x) < p.p0));
    store(i + 1u, select(0.0, 1.0, unit(w.y) < p.p0));
    store(i + 2u, select(0.0, 1.0, unit(w.z) < p.p0));
    store(i + 3u, select(0.0, 1.0, unit(w.w) < p.p0));
#endif
#ifdef INTEGERS
    let whole = p.range == 0u;
    store(i, p.low + bitcast<i32>(select(multiply_wide(w.x, p.range).x, w.x, whole)));
    store(i + 1u, p.low + bitcast<i32>(select(multiply_wide(w.y, p.range).x, w.y, whole)));
    store(i + 2u, p.low + bitcast<i32>(select(multiply_wide(w.z, p.range).x, w.z, whole)));
    store(i + 3u, p.low + bitcast<i32>(select(multiply_wide(w.w, p.range).x, w.w, whole)));
#endif
}

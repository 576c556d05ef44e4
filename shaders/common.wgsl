// What every kernel shares.  Conventions:
//   - one entry point `main`; binding 0 is this dispatch's parameter slot, then the outputs, then the inputs;
//   - a one-dimensional grid may arrive folded in x, y and z (no dimension may exceed 65,535 groups);
//   - every kernel checks its own bounds: grids are rounded up.

// The number of this workgroup in a folded grid.
fn group_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + groups.x * (group.y + groups.y * group.z);
}

// Infinity and NaN cannot be written as constants in WGSL; naga would refuse to fold them, hence the `var`.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn not_a_number() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

// By bits: drivers may assume that `x != x` is false.
fn isnan_(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn isinf_(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn isfinite_(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// WGSL's own max and min may return either argument when one is NaN; ours return the NaN.
fn maximum_(a: f32, b: f32) -> f32 {
    if isnan_(a) { return a; }
    if isnan_(b) { return b; }
    return max(a, b);
}

fn minimum_(a: f32, b: f32) -> f32 {
    if isnan_(a) { return a; }
    if isnan_(b) { return b; }
    return min(a, b);
}

// a / n for n > 0 and quotients below 2^22, where one float32 quotient is at most 1 off: integer division takes dozens of
// instructions on a GPU.
fn divide(a: u32, n: u32) -> u32 {
    let q = u32(f32(a) / f32(n));
    let r = bitcast<i32>(a - q * n);
    return select(select(q, q + 1u, r >= i32(n)), q - 1u, r < 0);
}

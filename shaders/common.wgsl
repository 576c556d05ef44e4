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

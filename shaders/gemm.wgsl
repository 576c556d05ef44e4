// The tiled matrix product behind matmul and the convolutions: C[m, n] = sum over k of A[m, k] B[k, n].
//
// The importing file defines `p` (with m, n, k, k_chunk, a_k_fast, b_k_fast) and the functions
//     begin(z) -> vec2<u32>     called first: the range of k that z sums
//     load_a(m, k) -> f32, load_b(k, n) -> f32, store_c(m, n, value)     only called within bounds
// z counts batches, groups and pieces of k as the file likes; `begin` keeps what the others need of it.
//
// A workgroup computes a TILE_M x TILE_N tile, each thread 4 x 4 of it in four named vectors: WGSL compilers keep
// those in registers, but not arrays.  Tiles of A and B pass through 2 * 16 * 64 * 4 bytes = 8 KiB of shared memory
// at most.  Sums run in the order of k, so results do not depend on the tile.

const TILE_M: u32 = {{TILE_M}}u;
const TILE_N: u32 = {{TILE_N}}u;
const TILE_K: u32 = 16u;
const ROWS: u32 = TILE_M / 4u;
const COLS: u32 = TILE_N / 4u;
const THREADS: u32 = ROWS * COLS;

var<workgroup> tile_a: array<vec4<f32>, ROWS * TILE_K>;   // [k][m / 4], four rows to a vector
var<workgroup> tile_b: array<vec4<f32>, COLS * TILE_K>;   // [k][n / 4], four columns to a vector

fn fetch_a(m: u32, k: u32, k_end: u32) -> f32 {
    if m < p.m && k < k_end { return load_a(m, k); }
    return 0.0;
}

fn fetch_b(k: u32, n: u32, k_end: u32) -> f32 {
    if n < p.n && k < k_end { return load_b(k, n); }
    return 0.0;
}

fn store_row(m: u32, n: u32, row: vec4<f32>) {
    if m >= p.m { return; }
    if n < p.n { store_c(m, n, row.x); }
    if n + 1u < p.n { store_c(m, n + 1u, row.y); }
    if n + 2u < p.n { store_c(m, n + 2u, row.z); }
    if n + 3u < p.n { store_c(m, n + 3u, row.w); }
}

@compute @workgroup_size(COLS, ROWS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // The grid is folded: recover tile row, tile column and z from one number.
    let tiles_n = (p.n + TILE_N - 1u) / TILE_N;
    let tiles_m = (p.m + TILE_M - 1u) / TILE_M;
    let number = group_index(group, groups);
    if number >= tiles_m * tiles_n * p.z { return; }
    let z = number / (tiles_m * tiles_n);
    let tile = number - z * tiles_m * tiles_n;
    let m0 = (tile / tiles_n) * TILE_M;
    let n0 = (tile % tiles_n) * TILE_N;
    let row = local / COLS;
    let col = local % COLS;

    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    let range = begin(z);
    for (var k0 = range.x; k0 < range.y; k0 += TILE_K) {
        // Neighbouring threads read along whichever of the two indices is dense in memory.
        for (var t = local; t < ROWS * TILE_K; t += THREADS) {
            let k = select(t / ROWS, t % TILE_K, p.a_k_fast != 0u);
            let r = select(t % ROWS, t / TILE_K, p.a_k_fast != 0u);
            let m = m0 + 4u * r;
            tile_a[k * ROWS + r] = vec4<f32>(
                fetch_a(m, k0 + k, range.y), fetch_a(m + 1u, k0 + k, range.y),
                fetch_a(m + 2u, k0 + k, range.y), fetch_a(m + 3u, k0 + k, range.y));
        }
        for (var t = local; t < COLS * TILE_K; t += THREADS) {
            let k = select(t / COLS, t % TILE_K, p.b_k_fast != 0u);
            let c = select(t % COLS, t / TILE_K, p.b_k_fast != 0u);
            let n = n0 + 4u * c;
            tile_b[k * COLS + c] = vec4<f32>(
                fetch_b(k0 + k, n, range.y), fetch_b(k0 + k, n + 1u, range.y),
                fetch_b(k0 + k, n + 2u, range.y), fetch_b(k0 + k, n + 3u, range.y));
        }
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k += 4u) {
            var a = tile_a[k * ROWS + row];
            var b = tile_b[k * COLS + col];
            c0 = fma(vec4<f32>(a.x), b, c0);
            c1 = fma(vec4<f32>(a.y), b, c1);
            c2 = fma(vec4<f32>(a.z), b, c2);
            c3 = fma(vec4<f32>(a.w), b, c3);
            a = tile_a[(k + 1u) * ROWS + row];
            b = tile_b[(k + 1u) * COLS + col];
            c0 = fma(vec4<f32>(a.x), b, c0);
            c1 = fma(vec4<f32>(a.y), b, c1);
            c2 = fma(vec4<f32>(a.z), b, c2);
            c3 = fma(vec4<f32>(a.w), b, c3);
            a = tile_a[(k + 2u) * ROWS + row];
            b = tile_b[(k + 2u) * COLS + col];
            c0 = fma(vec4<f32>(a.x), b, c0);
            c1 = fma(vec4<f32>(a.y), b, c1);
            c2 = fma(vec4<f32>(a.z), b, c2);
            c3 = fma(vec4<f32>(a.w), b, c3);
            a = tile_a[(k + 3u) * ROWS + row];
            b = tile_b[(k + 3u) * COLS + col];
            c0 = fma(vec4<f32>(a.x), b, c0);
            c1 = fma(vec4<f32>(a.y), b, c1);
            c2 = fma(vec4<f32>(a.z), b, c2);
            c3 = fma(vec4<f32>(a.w), b, c3);
        }
        workgroupBarrier();
    }
    let m = m0 + 4u * row;
    let n = n0 + 4u * col;
    store_row(m, n, c0);
    store_row(m + 1u, n, c1);
    store_row(m + 2u, n, c2);
    store_row(m + 3u, n, c3);
}

// Sums and maxima over the threads that share a row: one thread (SERIAL, for short rows) or a workgroup of 256.

#ifdef SERIAL
const ROW_THREADS: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;

fn row_sum(x: f32, lane: u32) -> f32 { return x; }
fn row_max(x: f32, lane: u32) -> f32 { return x; }
#else
const ROW_THREADS: u32 = 256u;
const ROWS_PER_GROUP: u32 = 1u;
var<workgroup> row_scratch: array<f32, 256>;

fn row_sum(x: f32, lane: u32) -> f32 {
    workgroupBarrier();  // the last result has been read by all
    row_scratch[lane] = x;
    for (var step = 128u; step > 0u; step = step >> 1u) {
        workgroupBarrier();
        if lane < step { row_scratch[lane] += row_scratch[lane + step]; }
    }
    workgroupBarrier();
    return row_scratch[0];
}

fn row_max(x: f32, lane: u32) -> f32 {
    workgroupBarrier();
    row_scratch[lane] = x;
    for (var step = 128u; step > 0u; step = step >> 1u) {
        workgroupBarrier();
        if lane < step { row_scratch[lane] = maximum_(row_scratch[lane], row_scratch[lane + step]); }
    }
    workgroupBarrier();
    return row_scratch[0];
}
#endif

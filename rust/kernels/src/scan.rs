//! Running sums and products along a dimension.

use crate::pool;
use crate::rows::{GRAIN, Shared};

/// Columns that one task takes from a tensor with an inner dimension.
const COLUMNS: usize = 64;

/// `out[o, j, i] = f(out[o, j - 1, i], x[o, j, i])` for `x` of shape `[outer, n, inner]`, starting from `first`.
///
/// # Panics
/// When the lengths do not fit.
pub fn scan<A: Copy + Sync, T: Copy + Send + Sync>(
    x: &[A],
    [outer, n, inner]: [usize; 3],
    out: &mut [T],
    first: T,
    f: impl Fn(T, A) -> T + Sync,
) {
    assert_eq!(x.len(), outer * n * inner, "scan: the input must have the given shape");
    assert_eq!(out.len(), x.len(), "scan: the output must have the given shape");
    if x.is_empty() {
        return;
    }
    let out = Shared::new(out);
    // Lines are independent; each is one chain of operations.
    let bands = inner.div_ceil(COLUMNS);
    let width = inner.min(COLUMNS);
    pool::chunked(outer * bands, (GRAIN / (n * width)).max(1), |range| {
        for item in range {
            let (o, band) = (item / bands, (item % bands) * COLUMNS);
            let columns = COLUMNS.min(inner - band);
            let mut running = [first; COLUMNS];
            for j in 0..n {
                let at = (o * n + j) * inner + band;
                for (c, (running, &x)) in running.iter_mut().zip(&x[at..at + columns]).enumerate() {
                    *running = f(*running, x);
                    // SAFETY: the place of an element of `x`, in columns that are this task's own.
                    unsafe { *out.at(at + c) = *running };
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn running_sums_along_the_middle() {
        let x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let mut out = [0i64; 12];
        scan(&x, [2, 3, 2], &mut out, 0, |a, x: i64| a + x);
        assert_eq!(out, [1, 2, 4, 6, 9, 12, 7, 8, 16, 18, 27, 30]);
    }

    #[test]
    fn every_line_on_its_own() {
        for [outer, n, inner] in [[1, 1, 1], [5, 7, 1], [3, 4, 63], [3, 4, 64], [2, 5, 65], [40, 300, 130], [1, 0, 3]] {
            let x: Vec<i64> = (0..outer * n * inner).map(|i| (i * 31 % 17) as i64 - 8).collect();
            let mut out = vec![0i64; x.len()];
            scan(&x, [outer, n, inner], &mut out, 5, |a, x| a + x);
            for line in 0..outer * inner {
                let mut total = 5;
                for j in 0..n {
                    let at = ((line / inner) * n + j) * inner + line % inner;
                    total += x[at];
                    assert_eq!(out[at], total);
                }
            }
        }
    }
}

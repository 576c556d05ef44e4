//! Running sums and products along a dimension.

/// `out[o, j, i] = f(out[o, j - 1, i], x[o, j, i])` for `x` of shape `[outer, n, inner]`, starting from `first`.
///
/// # Panics
/// When the lengths do not fit.
pub fn scan<A: Copy, T: Copy>(x: &[A], [outer, n, inner]: [usize; 3], out: &mut [T], first: T, f: impl Fn(T, A) -> T) {
    assert_eq!(x.len(), outer * n * inner, "scan: the input must have the given shape");
    assert_eq!(out.len(), x.len(), "scan: the output must have the given shape");
    if x.is_empty() {
        return;
    }
    for (x, out) in x.chunks_exact(n * inner).zip(out.chunks_exact_mut(n * inner)) {
        for (o, &x) in out[..inner].iter_mut().zip(x) {
            *o = f(first, x);
        }
        for j in 1..n {
            let (before, now) = out.split_at_mut(j * inner);
            let before = &before[(j - 1) * inner..];
            for ((o, &p), &x) in now[..inner].iter_mut().zip(before).zip(&x[j * inner..]) {
                *o = f(p, x);
            }
        }
    }
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
}

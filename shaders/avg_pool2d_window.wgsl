// The window of an average pooling along one dimension, clipped to the image, and what its length counts as.

struct Window { first: u32, end: u32, length: u32 }

fn window(o: u32, size: u32, kernel: u32, stride: u32, padding: u32) -> Window {
    let start = i32(o * stride) - i32(padding);
    let stop = min(start + i32(kernel), i32(size + padding));
    let first = u32(max(start, 0));
    let end = u32(max(min(stop, i32(size)), 0));
    return Window(first, end, u32(stop - start));
}

fn divisor(y: Window, x: Window) -> f32 {
    if p.divisor != 0u { return f32(bitcast<i32>(p.divisor)); }
    if p.include_padding != 0u { return f32(y.length * x.length); }
    return f32((y.end - y.first) * (x.end - x.first));
}

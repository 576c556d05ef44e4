// Sizes of a two-dimensional pooling over contiguous (planes, height, width) tensors.

struct Params {
    count: u32,              // threads wanted: outputs forward, inputs backward
    in_h: u32, in_w: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32,
    padding_h: u32, padding_w: u32, dilation_h: u32, dilation_w: u32,
    include_padding: u32,    // average pooling: padded positions count
    divisor: u32,            // average pooling: divide by this instead, where not 0
    out_offset: u32, in_offset: u32, indices_offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

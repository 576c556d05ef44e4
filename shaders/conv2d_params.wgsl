// Sizes of a two-dimensional convolution, shared by its forward kernel and both gradients.

struct Params {
    m: u32, n: u32, k: u32, z: u32,
    a_k_fast: u32, b_k_fast: u32, k_chunk: u32, groups: u32,
    in_channels: u32, in_h: u32, in_w: u32, group_in: u32,       // group_in: input channels of one group
    out_channels: u32, out_h: u32, out_w: u32, group_out: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32,
    padding_h: u32, padding_w: u32, dilation_h: u32, dilation_w: u32,
    out_offset: u32, in_offset: u32, weight_offset: u32, bias_offset: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

/* The second half of a convolution's gradient to the weight: w[O][channels][taps], the sums partial[range][tap * channels + c][O] of all
 * ranges added in order. T: element. */
__kernel void NAME(__global const T *restrict partial, const ulong partial_offset, __global T *restrict w, const ulong w_offset,
                   const ulong outputs, const ulong channels, const ulong taps, const ulong ranges) {
    const ulong i = get_global_id(0), count = outputs * channels * taps;
    if (i < count) {
        T sum = partial[partial_offset + i];
        for (ulong z = 1; z < ranges; z++)
            sum += partial[partial_offset + z * count + i];
        const ulong o = i % outputs, row = i / outputs;
        w[w_offset + (o * channels + row % channels) * taps + row / channels] = sum;
    }
}

/* The second half of a convolution's gradient to the weight: w[O][channels][taps], the sums partial[range][tap * channels + c][O] of all
 * ranges added in order, which Intel's compiler would not keep by itself (src/device/kernels.c). One work-item takes W outputs of one channel,
 * all taps: what it writes for an output lies side by side. T: element. V: vector of W. */
__kernel void NAME(__global const T *restrict partial, const ulong partial_offset, __global T *restrict w, const ulong w_offset,
                   const ulong outputs, const ulong channels, const ulong taps, const ulong ranges) {
    const ulong c = get_global_id(0), first = get_global_id(1) * W, count = outputs * channels * taps;
    const uint lanes = (uint)min((ulong)W, outputs - first);
    __global T *restrict to = w + w_offset + (first * channels + c) * taps;
    T line[W];
    for (ulong tap = 0; tap < taps; tap++) {
        __global const T *restrict from = partial + partial_offset + (tap * channels + c) * outputs + first;
        if (lanes == W) {
            V sum = VLOAD(0, from);
            BLO_SUM_IN_ORDER for (ulong z = 1; z < ranges; z++)
                sum += VLOAD(0, from + z * count);
            VSTORE(sum, 0, line);
        } else
            for (uint l = 0; l < lanes; l++) {
                line[l] = from[l];
                BLO_SUM_IN_ORDER for (ulong z = 1; z < ranges; z++)
                    line[l] += from[z * count + l];
            }
        for (uint l = 0; l < lanes; l++)
            to[l * channels * taps + tap] = line[l];
    }
}

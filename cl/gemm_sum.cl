/* The second half of a product split along k: c[count] = the partial sums [split][count], added in order, which Intel's compiler
 * would not keep by itself (src/device/kernels.c). T: element. */
__kernel void NAME(__global const T *restrict partial, const ulong partial_offset, __global T *restrict c, const ulong c_offset,
                   const ulong count, const ulong split) {
    const ulong i = get_global_id(0);
    if (i < count) {
        T sum = partial[partial_offset + i];
        BLO_SUM_IN_ORDER for (ulong s = 1; s < split; s++)
            sum += partial[partial_offset + s * count + i];
        c[c_offset + i] = sum;
    }
}

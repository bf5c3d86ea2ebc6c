/* target[count] += source[count] unless flag[0] is set: gradients are added only if they are finite.
 * REAL: float or double. NAME: the kernel's name. */
__kernel void NAME(__global const REAL *source, const ulong source_offset, __global REAL *target, const ulong target_offset,
                   const ulong count, __global const uint *flag) {
    const ulong i = get_global_id(0);
    if (i < count && flag[0] == 0u)
        target[target_offset + i] += source[source_offset + i];
}

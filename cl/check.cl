/* Flags NaNs and infinities: each item looks at CHUNK elements of x[count]; the first tag stays in flag[0].
 * REAL: float or double. NAME: the kernel's name. */
__kernel void NAME(__global const REAL *x, const ulong offset, const ulong count, const ulong chunk, __global volatile uint *flag,
                   const int tag) {
    const ulong from = get_global_id(0) * chunk, to = min(from + chunk, count);
    int bad = 0;
    for (ulong i = from; i < to; i++)
        bad |= !isfinite(x[offset + i]);
    if (bad)
        atomic_cmpxchg(flag, 0u, (uint)tag);
}

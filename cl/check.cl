/* Flags NaNs and infinities: each item looks at CHUNK elements of x[count]. The first check that finds one keeps its tag in flag[0], its
 * number in flag[1]; of the PARTS that x consists of (flag[3]; 0: it is not told) flag[2] is ~ of the first that is bad, 0: none is.
 * Element i is of part FIRST + i / EACH or, where EACH is 0, as the table's ROWS tell: bytes to where PARTS of so many bytes begin.
 * REAL: float or double. NAME: the kernel's name. */
static inline uint NAME_part(const ulong i, const uint parts, const uint first, const ulong each, __global const ulong *table,
                             const uint rows) {
    if (each)
        return first + (uint)(i / each);
    for (uint r = 0; r < rows; r++) {
        const ulong at = i * sizeof(REAL), from = table[2 * r], bytes = table[2 * r + 1];
        if (at >= from && at - from < parts * bytes)
            return (uint)((at - from) / bytes);
    }
    return ~0u;
}

__kernel void NAME(__global const REAL *x, const ulong offset, const ulong count, const ulong chunk, __global volatile uint *flag,
                   const int tag, const uint check, const uint parts, const uint first, const ulong each,
                   __global const ulong *table, const uint rows) {
    const ulong from = get_global_id(0) * chunk, to = min(from + chunk, count);
    int bad = 0;
    for (ulong i = from; i < to; i++)
        bad |= !isfinite(x[offset + i]);
    if (!bad)
        return;
    const uint found = atomic_cmpxchg(flag + 1, 0u, check);
    if (found != 0u && found != check)
        return;
    atomic_xchg(flag, (uint)tag);
    atomic_xchg(flag + 3, parts);
    for (ulong i = from; i < to && parts > 0u; i++)
        if (!isfinite(x[offset + i]))
            atomic_max(flag + 2, ~NAME_part(i, parts, first, each, table, rows));
}

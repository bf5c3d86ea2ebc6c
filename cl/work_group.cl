/* What the items of one work-group do together on whole arrays. BLO_LANE: the item's number; BLO_LANES: their count;
 * BLO_REAL: float or double. None of them ends with a barrier. Copies are of bytes: a
 * compiler may take it that words of another type are no floats. */
static void blo_group_zero(__global uchar *to, const ulong bytes) {
    for (ulong g = BLO_LANE; g < bytes; g += BLO_LANES)
        to[g] = 0;
}

static void blo_group_copy(__global uchar *to, __global const uchar *from, const ulong bytes) {
    for (ulong g = BLO_LANE; g < bytes; g += BLO_LANES)
        to[g] = from[g];
}

static void blo_group_add(__global BLO_REAL *to, __global const BLO_REAL *from, const ulong count) {
    for (ulong g = BLO_LANE; g < count; g += BLO_LANES)
        to[g] += from[g];
}

/* FAILED[0] becomes TAG if it is 0 and x[count] holds a NaN or an infinity. */
static void blo_group_check(__global const BLO_REAL *x, const ulong count, __global volatile int *failed, const int tag) {
    int bad = 0;
    for (ulong g = BLO_LANE; g < count; g += BLO_LANES)
        bad |= !isfinite(x[g]);
    if (bad && failed[0] == 0)
        failed[0] = tag;
}

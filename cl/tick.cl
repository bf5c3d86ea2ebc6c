/* As little as a launch can do: one more at AT[offset]. Launched by one item; what it costs is the launch. */
__kernel void blo_tick(__global uint *at, ulong offset) {
    at[offset] += 1;
}

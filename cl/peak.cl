/* What the device can do at most: NAME_fma multiplies and adds, NAME_read reads. V: a vector of W elements of type T.
 * Each item of NAME_fma has CHAINS chains that do not wait for each other, of ROUNDS multiply-adds each: chain c starts
 * at g + c and goes on as v = v * in[0] + in[1]; out[g] is one element of the sum of the chains.
 * Each item of NAME_read adds up COUNT vectors, STRIDE apart, the first its own; out[g] is one element of the sum. */
#if W == 1
#define FIRST(v) (v)
#else
#define FIRST(v) (v).s0
#endif
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

__kernel void NAME_fma(__global const T *in, __global T *out, const ulong rounds) {
    const uint g = get_global_id(0);
    const V a = (V)(in[0]), b = (V)(in[1]);
#define START(c) V v##c = (V)((T)(g + c));
    EACH(START)
#undef START
    for (ulong i = 0; i < rounds; i++) {
#define NEXT(c) v##c = fma(v##c, a, b);
        EACH(NEXT)
#undef NEXT
    }
    V sum = (V)(0);
#define ADD(c) sum += v##c;
    EACH(ADD)
#undef ADD
    out[g] = FIRST(sum);
}

__kernel void NAME_read(__global const V *in, __global T *out, const ulong count, const ulong first, const ulong stride) {
    const uint g = get_global_id(0);
    __global const V *from = in + g * first;
    V s0 = (V)(0), s1 = (V)(0), s2 = (V)(0), s3 = (V)(0);
    for (ulong i = 0; i < count; i += 4) {
        s0 += from[i * stride];
        s1 += from[(i + 1) * stride];
        s2 += from[(i + 2) * stride];
        s3 += from[(i + 3) * stride];
    }
    out[g] = FIRST(s0 + s1 + s2 + s3);
}
#undef FIRST
#undef EACH

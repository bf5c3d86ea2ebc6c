/* Turns W vectors of W lanes: afterwards lane j of vector i is what lane i of vector j was. In steps of blocks of 1, 2, 4 … lanes,
 * each of which exchanges the blocks off the diagonal of a pair of vectors.
 * TURN: on the vectors turn0, turn1 …; V: their type. FOR_LANES(X): X(0) … X(W-1).
 * TURN_QUADS(a, b, c, d): on four vectors, within each four lanes: afterwards b's lane 4 i + j is what lane 4 i + 1 of the j-th of them
 * was, and so on; of instructions that need no table. FOR_QUADS(X): X(i, .s of its four lanes) for i = 0, 4 … W-4.
 * W is 4, 8 or 16; the text may stand several times in a program. */
#undef FIRST1
#undef SECOND1
#undef FIRST2
#undef SECOND2
#undef FIRST4
#undef SECOND4
#undef FIRST8
#undef SECOND8
#undef TURN1
#undef TURN2
#undef TURN4
#undef TURN8
#undef TURN
#undef FOR_LANES
#undef EXCHANGE
#undef LOW
#undef HIGH
#undef TURN_QUADS
#undef FOR_QUADS
#define EXCHANGE(i, j, FIRST, SECOND) { const V p = FIRST(turn##i, turn##j); turn##j = SECOND(turn##i, turn##j); turn##i = p; }
#if defined(__clang__) /* that compilers make one instruction of for sure */
#if W == 16
#define FIRST1(a, b) __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define SECOND1(a, b) __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
#define FIRST2(a, b) __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define SECOND2(a, b) __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define FIRST4(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define SECOND4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define FIRST8(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define SECOND8(a, b) __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#elif W == 8
#define FIRST1(a, b) __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define SECOND1(a, b) __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#define FIRST2(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define SECOND2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define FIRST4(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define SECOND4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#else
#define FIRST1(a, b) __builtin_shufflevector(a, b, 0, 4, 2, 6)
#define SECOND1(a, b) __builtin_shufflevector(a, b, 1, 5, 3, 7)
#define FIRST2(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define SECOND2(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#endif
#elif W == 16
#define FIRST1(a, b) (V)(a.s0, b.s0, a.s2, b.s2, a.s4, b.s4, a.s6, b.s6, a.s8, b.s8, a.sa, b.sa, a.sc, b.sc, a.se, b.se)
#define SECOND1(a, b) (V)(a.s1, b.s1, a.s3, b.s3, a.s5, b.s5, a.s7, b.s7, a.s9, b.s9, a.sb, b.sb, a.sd, b.sd, a.sf, b.sf)
#define FIRST2(a, b) (V)(a.s01, b.s01, a.s45, b.s45, a.s89, b.s89, a.scd, b.scd)
#define SECOND2(a, b) (V)(a.s23, b.s23, a.s67, b.s67, a.sab, b.sab, a.sef, b.sef)
#define FIRST4(a, b) (V)(a.s0123, b.s0123, a.s89ab, b.s89ab)
#define SECOND4(a, b) (V)(a.s4567, b.s4567, a.scdef, b.scdef)
#define FIRST8(a, b) (V)(a.lo, b.lo)
#define SECOND8(a, b) (V)(a.hi, b.hi)
#elif W == 8
#define FIRST1(a, b) (V)(a.s0, b.s0, a.s2, b.s2, a.s4, b.s4, a.s6, b.s6)
#define SECOND1(a, b) (V)(a.s1, b.s1, a.s3, b.s3, a.s5, b.s5, a.s7, b.s7)
#define FIRST2(a, b) (V)(a.s01, b.s01, a.s45, b.s45)
#define SECOND2(a, b) (V)(a.s23, b.s23, a.s67, b.s67)
#define FIRST4(a, b) (V)(a.lo, b.lo)
#define SECOND4(a, b) (V)(a.hi, b.hi)
#else
#define FIRST1(a, b) (V)(a.s0, b.s0, a.s2, b.s2)
#define SECOND1(a, b) (V)(a.s1, b.s1, a.s3, b.s3)
#define FIRST2(a, b) (V)(a.lo, b.lo)
#define SECOND2(a, b) (V)(a.hi, b.hi)
#endif
#if W == 16
#define TURN1(i, j) EXCHANGE(i, j, FIRST1, SECOND1)
#define TURN2(i, j) EXCHANGE(i, j, FIRST2, SECOND2)
#define TURN4(i, j) EXCHANGE(i, j, FIRST4, SECOND4)
#define TURN8(i, j) EXCHANGE(i, j, FIRST8, SECOND8)
#define TURN \
    TURN8(0, 8) TURN8(1, 9) TURN8(2, 10) TURN8(3, 11) TURN8(4, 12) TURN8(5, 13) TURN8(6, 14) TURN8(7, 15) \
    TURN4(0, 4) TURN4(1, 5) TURN4(2, 6) TURN4(3, 7) TURN4(8, 12) TURN4(9, 13) TURN4(10, 14) TURN4(11, 15) \
    TURN2(0, 2) TURN2(1, 3) TURN2(4, 6) TURN2(5, 7) TURN2(8, 10) TURN2(9, 11) TURN2(12, 14) TURN2(13, 15) \
    TURN1(0, 1) TURN1(2, 3) TURN1(4, 5) TURN1(6, 7) TURN1(8, 9) TURN1(10, 11) TURN1(12, 13) TURN1(14, 15)
#define FOR_LANES(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#elif W == 8
#define TURN1(i, j) EXCHANGE(i, j, FIRST1, SECOND1)
#define TURN2(i, j) EXCHANGE(i, j, FIRST2, SECOND2)
#define TURN4(i, j) EXCHANGE(i, j, FIRST4, SECOND4)
#define TURN \
    TURN4(0, 4) TURN4(1, 5) TURN4(2, 6) TURN4(3, 7) TURN2(0, 2) TURN2(1, 3) TURN2(4, 6) TURN2(5, 7) \
    TURN1(0, 1) TURN1(2, 3) TURN1(4, 5) TURN1(6, 7)
#define FOR_LANES(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#else
#define TURN1(i, j) EXCHANGE(i, j, FIRST1, SECOND1)
#define TURN2(i, j) EXCHANGE(i, j, FIRST2, SECOND2)
#define TURN TURN2(0, 2) TURN2(1, 3) TURN1(0, 1) TURN1(2, 3)
#define FOR_LANES(X) X(0) X(1) X(2) X(3)
#endif
#if W == 16
#define LOW(a, b) (V)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5, a.s8, b.s8, a.s9, b.s9, a.sc, b.sc, a.sd, b.sd)
#define HIGH(a, b) (V)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7, a.sa, b.sa, a.sb, b.sb, a.se, b.se, a.sf, b.sf)
#define FOR_QUADS(X) X(0, s0123) X(4, s4567) X(8, s89ab) X(12, scdef)
#elif W == 8
#define LOW(a, b) (V)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5)
#define HIGH(a, b) (V)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7)
#define FOR_QUADS(X) X(0, s0123) X(4, s4567)
#else
#define LOW(a, b) (V)(a.s0, b.s0, a.s1, b.s1)
#define HIGH(a, b) (V)(a.s2, b.s2, a.s3, b.s3)
#define FOR_QUADS(X) X(0, s0123)
#endif
#define TURN_QUADS(a, b, c, d) { \
    const V low_ab = LOW(a, b), high_ab = HIGH(a, b), low_cd = LOW(c, d), high_cd = HIGH(c, d); \
    a = FIRST2(low_ab, low_cd); b = SECOND2(low_ab, low_cd); c = FIRST2(high_ab, high_cd); d = SECOND2(high_ab, high_cd); }

/* Sums of squares about a mean, as a variance needs them, found in one pass with the sum that the mean is made of: each
 * range of the elements is summed, then its squares about its own mean while it is in the cache, and the ranges are put
 * together by
 *   sum of (x - m)^2 = sum over ranges of (q + n (a - m)^2),
 * where a range has n elements, the mean a, and squares q about it. No term is negative. Knows expressions, not groups.
 */
#include "moments.h"

#include <inttypes.h>

/* The sum S where MEAN is S times a constant, without derivative or with it; FACTOR: that constant. */
static const blo_node *sum_of_mean(const blo_node *mean, double *factor) {
    while (mean->op == BLO_OP_STOP)
        mean = mean->in[0];
    if (mean->op != BLO_OP_MUL || mean->in[0]->op != BLO_OP_SUM || mean->in[1]->op != BLO_OP_CONST)
        return NULL;
    *factor = mean->in[1]->attr.value;
    return mean->in[0];
}

/* Is V broadcast along the axes that SUM reduces, and no others? */
static bool is_spread(const blo_node *v, const blo_node *sum) {
    int kept = 0;
    if (v->op != BLO_OP_BROADCAST || v->in[0]->rank != sum->rank)
        return false;
    for (int i = 0; i < v->rank; i++)
        if (!(sum->attr.axes >> i & 1) && v->attr.perm[kept++] != i)
            return false;
    return true;
}

const blo_node *blo_sum_for_squares(const blo_node *node, double *factor) {
    const blo_node *square = node->op == BLO_OP_SUM ? node->in[0] : NULL;
    if (!square || square->op != BLO_OP_MUL || square->in[0] != square->in[1] || square->in[0]->op != BLO_OP_SUB)
        return NULL;
    const blo_node *x = square->in[0]->in[0], *spread = square->in[0]->in[1];
    const blo_node *sum = spread->op == BLO_OP_BROADCAST ? sum_of_mean(spread->in[0], factor) : NULL;
    const bool fits = sum && sum->in[0] == x && sum->attr.axes == node->attr.axes && is_spread(spread, sum);
    return fits ? sum : NULL;
}

void blo_squares_text(blo_text *text, const char *type, const char *value, const char *mean, const char *squares) {
    blo_text_add(text, "const %s away = %s - %s;\n%s += away * away;\n", type, value, mean, squares);
}

void blo_squares_combine_text(blo_text *text, const blo_squares_parts *parts) {
    const char *type = blo_type_name(parts->dtype);
    char factor[48];
    blo_emit_literal(factor, sizeof factor, parts->dtype, parts->factor);
    blo_text_add(text,
                 "%s all%s = 0, %s = 0;\n"
                 "BLO_SUM_IN_ORDER for (ulong c = 0; c < chunks; c++)\nall%s += p%d[o%d + c * %" PRId64 " + g];\n",
                 type, parts->result, parts->result, parts->result, parts->sums, parts->sums, parts->count);
    blo_text_add(text,
                 "BLO_SUM_IN_ORDER for (ulong c = 0; c < chunks; c++) {\nconst %s size = (%s)(c + 1 < chunks ? %" PRId64
                 " : %" PRId64 ");\n",
                 type, type, parts->chunk, parts->last);
    blo_text_add(text,
                 "const %s away = p%d[o%d + c * %" PRId64 " + g] / size - all%s * %s;\n%s += p%d[o%d + c * %" PRId64
                 " + g] + size * away * away;\n}\n",
                 type, parts->sums, parts->sums, parts->count, parts->result, factor, parts->result, parts->squares,
                 parts->squares, parts->count);
}

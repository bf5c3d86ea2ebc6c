/* The interpreter; see interpret.h. Every value is held as a double (exact for all dtypes) and rounded to its node's
 * dtype. */
#include "interpret.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/philox.h"

static double rounded(blo_dtype dtype, double v) {
    switch (dtype) {
    case BLO_FLOAT: return (double)(float)v;
    case BLO_INT32: return isnan(v) ? 0 : v <= INT32_MIN ? INT32_MIN : v >= INT32_MAX ? INT32_MAX : trunc(v);
    case BLO_UINT8: return isnan(v) || v <= 0 ? 0 : v >= UINT8_MAX ? UINT8_MAX : trunc(v);
    default: return v;
    }
}

static double read_element(const void *data, blo_dtype dtype, int64_t i) {
    switch (dtype) {
    case BLO_FLOAT: return (double)((const float *)data)[i];
    case BLO_DOUBLE: return ((const double *)data)[i];
    case BLO_INT32: return ((const int32_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

static void write_element(void *data, blo_dtype dtype, int64_t i, double v) {
    switch (dtype) {
    case BLO_FLOAT: ((float *)data)[i] = (float)v; break;
    case BLO_DOUBLE: ((double *)data)[i] = v; break;
    case BLO_INT32: ((int32_t *)data)[i] = (int32_t)v; break;
    case BLO_UINT8: ((uint8_t *)data)[i] = (uint8_t)v; break;
    }
}

static void split(const blo_node *node, int64_t linear, int64_t *index) {
    for (int i = node->rank - 1; i >= 0; i--) {
        index[i] = linear % node->shape[i];
        linear /= node->shape[i];
    }
}

static int64_t join(const blo_node *node, const int64_t *index) {
    int64_t linear = 0;
    for (int i = 0; i < node->rank; i++)
        linear = linear * node->shape[i] + index[i];
    return linear;
}

static double larger(double a, double b) {
    return isnan(a) || a > b ? a : b;
}

static double divide(blo_dtype dtype, double a, double b) {
    bool whole = dtype == BLO_INT32 || dtype == BLO_UINT8;
    return whole ? (b == 0 ? 0 : trunc(a / b)) : a / b;
}

static double elementwise(const blo_node *node, double a, double b, double c) {
    switch (node->op) {
    case BLO_OP_CAST:
    case BLO_OP_STOP: return a;
    case BLO_OP_NEG: return -a;
    case BLO_OP_EXP: return exp(a);
    case BLO_OP_LOG: return log(a);
    case BLO_OP_SIN: return sin(a);
    case BLO_OP_COS: return cos(a);
    case BLO_OP_TANH: return tanh(a);
    case BLO_OP_SIGMOID: return a >= 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a));
    case BLO_OP_SQRT: return sqrt(a);
    case BLO_OP_ADD: return a + b;
    case BLO_OP_SUB: return a - b;
    case BLO_OP_MUL: return a * b;
    case BLO_OP_DIV: return divide(node->dtype, a, b);
    case BLO_OP_POW: return pow(a, b);
    case BLO_OP_MIN: return -larger(-a, -b);
    case BLO_OP_MAX: return larger(a, b);
    case BLO_OP_LT: return a < b;
    case BLO_OP_LE: return a <= b;
    case BLO_OP_EQ: return a == b;
    case BLO_OP_NE: return a != b;
    case BLO_OP_AND: return a != 0 && b != 0;
    case BLO_OP_OR: return a != 0 || b != 0;
    case BLO_OP_SELECT: return a != 0 ? b : c;
    default: return (double)NAN;
    }
}

static double reduced(const blo_node *node, const double *a, const int64_t *index) {
    const blo_node *operand = node->in[0];
    double result = node->op == BLO_OP_SUM ? 0 : -(double)INFINITY;
    int64_t at[BLO_MAX_RANK];
    for (int64_t i = 0; i < operand->count; i++) {
        bool mine = true;
        split(operand, i, at);
        for (int axis = 0, kept = 0; axis < operand->rank; axis++)
            if (!(node->attr.axes >> axis & 1))
                mine = at[axis] == index[kept++] && mine;
        if (mine)
            result = node->op == BLO_OP_SUM ? rounded(node->dtype, result + a[i]) : larger(a[i], result);
    }
    return result;
}

static double moved(const blo_node *node, const double *a, int64_t linear, const int64_t *index) {
    const blo_node *operand = node->in[0];
    int64_t at[BLO_MAX_RANK];
    for (int i = 0; i < operand->rank; i++)
        switch (node->op) {
        case BLO_OP_RESHAPE: return a[linear];
        case BLO_OP_BROADCAST: at[i] = operand->shape[i] == 1 ? 0 : index[node->attr.perm[i]]; break;
        case BLO_OP_PERMUTE: at[node->attr.perm[i]] = index[i]; break;
        case BLO_OP_SLICE: at[i] = node->attr.window.start[i] + index[i] * node->attr.window.step[i]; break;
        default: { /* PAD */
            int64_t from = index[i] - node->attr.window.start[i], step = node->attr.window.step[i];
            if (from < 0 || from % step || from / step >= operand->shape[i])
                return 0;
            at[i] = from / step;
        }
        }
    return a[node->op == BLO_OP_RESHAPE ? linear : join(operand, at)];
}

static double gathered(const blo_node *node, const double *a, const double *which, const int64_t *index) {
    const blo_node *operand = node->in[0], *w = node->in[1];
    int64_t row = (int64_t)which[join(w, index)], at[BLO_MAX_RANK];
    if (row < 0 || row >= operand->shape[0])
        return node->dtype <= BLO_DOUBLE ? (double)NAN : 0;
    at[0] = row;
    for (int i = 1; i < operand->rank; i++)
        at[i] = index[w->rank + i - 1];
    return a[join(operand, at)];
}

static double scattered(const blo_node *node, const double *a, const double *which, const int64_t *index) {
    const blo_node *operand = node->in[0], *w = node->in[1];
    double sum = 0;
    for (int64_t i = 0; i < w->count; i++) {
        int64_t at[BLO_MAX_RANK];
        if ((int64_t)which[i] != index[0])
            continue;
        split(w, i, at);
        for (int j = 1; j < node->rank; j++)
            at[w->rank + j - 1] = index[j];
        sum = rounded(node->dtype, sum + a[join(operand, at)]);
    }
    return sum;
}

static double product(const blo_node *node, const double *a, const double *b, const int64_t *index) {
    const blo_node *left = node->in[0], *right = node->in[1];
    bool ta = node->attr.matmul.transpose_a, tb = node->attr.matmul.transpose_b;
    int row = node->rank - 2, column = node->rank - 1;
    int64_t ia[BLO_MAX_RANK], ib[BLO_MAX_RANK];
    double sum = 0;
    memcpy(ia, index, sizeof ia);
    memcpy(ib, index, sizeof ib);
    for (int64_t k = 0; k < left->shape[ta ? row : column]; k++) {
        ia[ta ? column : row] = index[row];
        ia[ta ? row : column] = k;
        ib[tb ? column : row] = k;
        ib[tb ? row : column] = index[column];
        sum += a[join(left, ia)] * b[join(right, ib)];
    }
    return sum;
}

/* --- images, channels last --- */

static int64_t at4(const blo_node *node, int64_t a, int64_t b, int64_t c, int64_t d) {
    const int64_t index[4] = {a, b, c, d};
    return join(node, index);
}

/* One product of the trilinear form of graph.h. */
typedef struct term {
    int64_t n, p, q, o, h, w, c, r, s; /* c: of the image */
} term;

/* Is the term's place in the image that of its window and tap, in one direction? */
static bool rows_meet(const blo_node *node, const term *t) {
    return t->h == t->p * node->attr.conv.stride[0] - node->attr.conv.padding[0] + t->r * node->attr.conv.dilation[0];
}

static bool columns_meet(const blo_node *node, const term *t) {
    return t->w == t->q * node->attr.conv.stride[1] - node->attr.conv.padding[1] + t->s * node->attr.conv.dilation[1];
}

static double convolved(const blo_node *node, const double *a, const double *b, const int64_t *index) {
    const blo_node *x = node->in[0], *w = node->in[1];
    int64_t per_group = w->shape[0] / node->attr.conv.groups, ins = w->shape[1];
    term t = {.n = index[0], .p = index[1], .q = index[2], .o = index[3]};
    double sum = 0;
    for (t.r = 0; t.r < w->shape[2]; t.r++)
        for (t.s = 0; t.s < w->shape[3]; t.s++)
            for (t.h = 0; t.h < x->shape[1]; t.h++)
                for (t.w = 0; rows_meet(node, &t) && t.w < x->shape[2]; t.w++)
                    for (int64_t c = 0; columns_meet(node, &t) && c < ins; c++)
                        sum += a[at4(x, t.n, t.h, t.w, t.o / per_group * ins + c)] * b[at4(w, t.o, c, t.r, t.s)];
    return sum;
}

static double convolved_input(const blo_node *node, const double *a, const double *b, const int64_t *index) {
    const blo_node *g = node->in[0], *w = node->in[1];
    int64_t per_group = w->shape[0] / node->attr.conv.groups, ins = w->shape[1];
    term t = {.n = index[0], .h = index[1], .w = index[2], .c = index[3]};
    double sum = 0;
    for (t.r = 0; t.r < w->shape[2]; t.r++)
        for (t.s = 0; t.s < w->shape[3]; t.s++)
            for (t.p = 0; t.p < g->shape[1]; t.p++)
                for (t.q = 0; rows_meet(node, &t) && t.q < g->shape[2]; t.q++)
                    for (int64_t o = 0; columns_meet(node, &t) && o < per_group; o++) {
                        t.o = t.c / ins * per_group + o;
                        sum += a[at4(g, t.n, t.p, t.q, t.o)] * b[at4(w, t.o, t.c % ins, t.r, t.s)];
                    }
    return sum;
}

static double convolved_weight(const blo_node *node, const double *a, const double *b, const int64_t *index) {
    const blo_node *x = node->in[0], *g = node->in[1];
    int64_t per_group = node->shape[0] / node->attr.conv.groups;
    term t = {.o = index[0], .r = index[2], .s = index[3]};
    double sum = 0;
    t.c = t.o / per_group * node->shape[1] + index[1];
    for (t.n = 0; t.n < g->shape[0]; t.n++)
        for (t.p = 0; t.p < g->shape[1]; t.p++)
            for (t.h = 0; t.h < x->shape[1]; t.h++)
                for (t.q = 0; rows_meet(node, &t) && t.q < g->shape[2]; t.q++)
                    for (t.w = 0; t.w < x->shape[2]; t.w++)
                        if (columns_meet(node, &t))
                            sum += a[at4(x, t.n, t.h, t.w, t.c)] * b[at4(g, t.n, t.p, t.q, t.o)];
    return sum;
}

/* The first place of the largest, or of a NaN, in the window at INDEX. */
static double pool_argmax(const blo_node *node, const double *a, const int64_t *index) {
    const blo_node *x = node->in[0];
    int64_t best = 0;
    double most = -(double)INFINITY;
    for (int64_t k = 0; k < node->attr.pool.kernel[0] * node->attr.pool.kernel[1]; k++) {
        double v = a[at4(x, index[0], index[1] * node->attr.pool.stride[0] + k / node->attr.pool.kernel[1],
                         index[2] * node->attr.pool.stride[1] + k % node->attr.pool.kernel[1], index[3])];
        if (v > most || (isnan(v) && !isnan(most))) {
            most = v;
            best = k;
        }
    }
    return (double)best;
}

static double pool_taken(const blo_node *node, const double *a, const double *b, const int64_t *index) {
    int64_t k = (int64_t)b[join(node->in[1], index)];
    return a[at4(node->in[0], index[0], index[1] * node->attr.pool.stride[0] + k / node->attr.pool.kernel[1],
                 index[2] * node->attr.pool.stride[1] + k % node->attr.pool.kernel[1], index[3])];
}

static double pool_put(const blo_node *node, const double *a, const double *b, const int64_t *index) {
    const blo_node *g = node->in[0];
    double sum = 0;
    for (int64_t p = 0; p < g->shape[1]; p++)
        for (int64_t q = 0; q < g->shape[2]; q++) {
            int64_t at = at4(g, index[0], p, q, index[3]), k = (int64_t)b[at];
            if (p * node->attr.pool.stride[0] + k / node->attr.pool.kernel[1] == index[1] &&
                q * node->attr.pool.stride[1] + k % node->attr.pool.kernel[1] == index[2])
                sum += a[at];
        }
    return sum;
}

static double drawn(const blo_node *node, double counter, int64_t element) {
    const uint32_t key[2] = {(uint32_t)node->attr.seed, (uint32_t)(node->attr.seed >> 32)};
    const uint32_t at[4] = {(uint32_t)element, (uint32_t)((uint64_t)element >> 32), (uint32_t)(int32_t)counter, 0};
    uint32_t bits[4];
    blo_philox4x32(at, key, bits);
    return node->dtype == BLO_FLOAT ? (double)(bits[0] >> 8) * 0x1p-24
                                    : ((double)(bits[0] >> 5) * 0x1p26 + (double)(bits[1] >> 6)) * 0x1p-53;
}

static double value(const blo_node *node, double *const *values, int64_t i) {
    const double *a = node->n_in > 0 ? values[node->in[0]->id] : NULL,
                 *b = node->n_in > 1 ? values[node->in[1]->id] : NULL;
    const double *c = node->n_in > 2 ? values[node->in[2]->id] : NULL;
    int64_t index[BLO_MAX_RANK] = {0};
    split(node, i, index);
    if (blo_op_elementwise(node->op))
        return elementwise(node, a[i], b ? b[i] : 0, c ? c[i] : 0);
    switch (node->op) {
    case BLO_OP_CONST: return node->attr.value;
    case BLO_OP_IOTA: return (double)index[node->attr.axis];
    case BLO_OP_RANDOM: return drawn(node, a[0], i);
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX: return reduced(node, a, index);
    case BLO_OP_GATHER: return gathered(node, a, b, index);
    case BLO_OP_SCATTER_ADD: return scattered(node, a, b, index);
    case BLO_OP_MATMUL: return product(node, a, b, index);
    case BLO_OP_CONV: return convolved(node, a, b, index);
    case BLO_OP_CONV_INPUT: return convolved_input(node, a, b, index);
    case BLO_OP_CONV_WEIGHT: return convolved_weight(node, a, b, index);
    case BLO_OP_POOL_ARGMAX: return pool_argmax(node, a, index);
    case BLO_OP_POOL_TAKE: return pool_taken(node, a, b, index);
    case BLO_OP_POOL_PUT: return pool_put(node, a, b, index);
    default: return node->in[0]->rank == 0 ? a[0] : moved(node, a, i, index);
    }
}

int blo_interpret(int n, blo_node *const *outputs, const void *const *inputs, void **targets) {
    const blo_graph *graph = outputs[0]->graph;
    int n_nodes = blo_graph_nodes(graph), status = 0;
    double **values = calloc((size_t)n_nodes, sizeof *values);
    bool *live = calloc((size_t)n_nodes, sizeof *live);
    if (values && live)
        blo_graph_mark_live(n, outputs, live);
    else
        status = -1;
    for (int id = 0; id < n_nodes && status == 0; id++) {
        const blo_node *node = blo_graph_node(graph, id);
        if (!live[id])
            continue;
        values[id] = malloc((size_t)(node->count + 1) * sizeof **values);
        status = values[id] ? 0 : -1;
        for (int64_t i = 0; i < node->count && status == 0; i++)
            values[id][i] = node->op == BLO_OP_INPUT ? read_element(inputs[node->attr.input], node->dtype, i)
                                                     : rounded(node->dtype, value(node, values, i));
    }
    for (int j = 0; j < n && status == 0; j++)
        for (int64_t i = 0; i < outputs[j]->count; i++)
            write_element(targets[j], outputs[j]->dtype, i, values[outputs[j]->id][i]);
    for (int id = 0; values && id < n_nodes; id++)
        free(values[id]);
    free(values);
    free(live);
    return status;
}

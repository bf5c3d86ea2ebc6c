/* An interpreter of graphs in plain C on the host: slow, without fusion or devices, the reference that plans are
 * compared with. */
#ifndef BLO_TESTS_INTERPRET_H
#define BLO_TESTS_INTERPRET_H

#include "graph/graph.h"

/* Computes the N outputs (nodes of one graph) into TARGETS[n], row-major arrays of the outputs' dtypes; INPUTS by the
 * graph's input number. Returns 0, or -1 without memory. */
int blo_interpret(int n, blo_node *const *outputs, const void *const *inputs, void **targets);

#endif

/* Models as the rooms above see them: parameters as tensors, and binding them to nodes of a graph. */
#ifndef BLO_NN_MODEL_H
#define BLO_NN_MODEL_H

#include <clbilevel/nn.h>

#include "device/device.h"
#include "graph/graph.h"

blo_context *blo_model_context(const blo_model *model);
blo_dtype blo_model_dtype(const blo_model *model);
blo_tensor *blo_model_value_at(const blo_model *model, int index);
blo_tensor *blo_model_gradient_at(const blo_model *model, int index);
/* Number of forms the model has had: changes when a parameter or the forward function is added or replaced. */
uint64_t blo_model_form(const blo_model *model);

/* Parameters, then buffers, as one list: what a file holds. */
int blo_model_entries(const blo_model *model);
const char *blo_model_entry_name(const blo_model *model, int index);
blo_tensor *blo_model_entry(const blo_model *model, int index);
int blo_model_find(const blo_model *model, const char *name); /* its entry, -1: none */

/* Of running statistics: what buffer INDEX is updated with. */
double blo_model_momentum(const blo_model *model, int index);
void blo_model_set_momentum(blo_model *model, int index, double momentum);

blo_forward blo_model_forward_of(const blo_model *model, void **user); /* NULL: none was set */

/* What one evaluation of an objective does to a buffer: value <- KEEPS * value + ADDS. */
typedef struct blo_tracked {
    const blo_model *model;
    int buffer;
    double keeps;
    blo_node *adds;
} blo_tracked;

typedef struct blo_tracking {
    int n;
    blo_tracked *all; /* malloc'ed */
} blo_tracking;

/* A model whose parameters are the nodes PARAMETERS[blo_model_count] and whose buffers are
 * BUFFERS[blo_model_buffer_count] (NULL: none); both are copied in. What the objective tracks is gathered in TRACKING
 * (borrowed; NULL: dropped). Owner: the caller. NULL: no memory. */
blo_bound_model *blo_model_bind(const blo_model *model, blo_node *const *parameters, blo_node *const *buffers,
                                blo_tracking *tracking);
bool blo_bound_model_has(const blo_bound_model *bound, const char *name);        /* a parameter or a buffer */
double blo_bound_model_momentum(const blo_bound_model *bound, const char *name); /* of that buffer */
bool blo_bound_model_evaluates(const blo_bound_model *bound);
void blo_bound_model_free(blo_bound_model *bound);

#endif

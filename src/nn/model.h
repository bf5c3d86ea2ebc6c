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

/* A model whose parameters are the nodes PARAMETERS[blo_model_count] (borrowed, copied in). Owner: the caller. NULL: no
 * memory. */
blo_bound_model *blo_model_bind(const blo_model *model, blo_node *const *parameters);
bool blo_bound_model_has(const blo_bound_model *bound, const char *name);
void blo_bound_model_free(blo_bound_model *bound);

#endif

/* clbilevel: gradient-based bilevel optimisation on any OpenCL device. The one header to include. */
#ifndef CLBILEVEL_CLBILEVEL_H
#define CLBILEVEL_CLBILEVEL_H

#include <clbilevel/bilevel.h>
#include <clbilevel/context.h>
#include <clbilevel/data.h>
#include <clbilevel/graph.h>
#include <clbilevel/images.h>
#include <clbilevel/nn.h>
#include <clbilevel/optimizer.h>
#include <clbilevel/safetensors.h>
#include <clbilevel/tensor.h>
#include <clbilevel/tune.h>
#include <clbilevel/types.h>

#endif

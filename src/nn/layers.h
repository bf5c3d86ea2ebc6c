/* Inside the nn room: names of layers' parameters. */
#ifndef BLO_NN_LAYERS_H
#define BLO_NN_LAYERS_H

#include "model.h"

enum { BLO_LAYER_NAME = 256 };

/* "LAYER.MEMBER" (one of them alone if the other is ""), NULL if it is too long. */
const char *blo_member(char name[BLO_LAYER_NAME], const char *layer, const char *member);

#endif

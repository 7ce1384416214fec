// SPDX-License-Identifier: Apache-2.0
/* A model and what running it needs, in blocks of driver_allocator(). */
#ifndef CML_DRIVER_GRAPH_H
#define CML_DRIVER_GRAPH_H

#include "nn/graph.h"

/* A copy, as aligned as secure memory and no byte longer. */
uint8_t *driver_model(struct cml_bytes model);
void driver_model_free(uint8_t *model, size_t len);

/* Arena and scratch, filled with what nobody may rely on. */
struct cml_run driver_run(const struct cml_graph *graph, const uint8_t *model);
void driver_run_spoil(const struct cml_run *run);
/*
 * As cml_graph_run(), in an order that follows from @seed, as several workers
 * might: a tile finds nothing in scratch, and most run twice.
 */
void driver_run_shuffled(const struct cml_run *run, uint32_t seed);
void driver_run_free(struct cml_run *run);

#endif /* CML_DRIVER_GRAPH_H */

// SPDX-License-Identifier: Apache-2.0
/*
 * A request of plain tensors: all inputs of a graph, one after another, in; all
 * its outputs, with what describes them, out.
 */
#ifndef CML_TENSORS_H
#define CML_TENSORS_H

#include "nn/graph.h"
#include "result.h"

/* Bytes of all inputs together. */
size_t cml_tensors_input_size(const struct cml_graph *graph);
/*
 * Writes @bytes to @offset of the inputs, taken as one piece; they fit. They are
 * read once.
 */
void cml_tensors_put(const struct cml_run *run, size_t offset,
		     struct cml_bytes bytes);
void cml_tensors_get(const struct cml_run *run, uint8_t *inputs);

/* SHA-256 of all outputs, one after another. */
enum cml_status cml_tensors_digest(const struct cml_run *run,
				  uint8_t digest[CML_SHA256_SIZE]);

/* Room for cml_tensors_encode(). CML_MODEL_LIMIT: over CML_TENSORS_MAX_LEN */
enum cml_status cml_tensors_result_size(const struct cml_graph *graph,
					size_t *size);
/*
 * CBOR of the outputs and of @result's identity and network time into @out.
 * @len: in, room; out, used.
 */
enum cml_status cml_tensors_encode(const struct cml_run *run,
				   const struct cml_result *result,
				   uint8_t *out, size_t *len);

#endif /* CML_TENSORS_H */

// SPDX-License-Identifier: Apache-2.0
/*
 * A model, which all sessions that use it share: its data, whose weights the
 * engine uses in place, and its prepared graph. Each is a shared block; the
 * graph's has a name that follows from the sealed file which the model came in,
 * so that a session that has this file and its key finds what another loaded.
 */
#ifndef CML_MODEL_H
#define CML_MODEL_H

#include <stdatomic.h>

#include "inference.h"
#include "secure_memory.h"
#include "stream.h"
#include "vault.h"

/* At the beginning of the graph's block. */
struct cml_model_head {
	_Atomic uint32_t ready;		/* all else is written, for good */
	uint64_t data_name;		/* of the data's block */
	uint64_t data_size;		/* bytes */
	uint8_t source[CML_MODEL_SOURCE_SIZE];
	uint8_t digest[CML_SHA256_SIZE];
};

struct cml_model {
	struct cml_shared data;
	struct cml_shared graph;	/* ptr NULL while data arrives */
	/* While data arrives */
	size_t size, len;		/* bytes: announced, here */
	uint8_t source[CML_MODEL_SOURCE_SIZE];
	size_t source_len;
	uint8_t digest[CML_SHA256_SIZE];
	/* This session's own; NULL until a photo comes */
	struct cml_detector *detector;
};

/* Room for @size bytes of a model's data, from the file with this header. */
enum cml_status cml_model_begin(struct cml_secure_memory *memory,
				const struct cml_header *header,
				struct cml_model *model);
/*
 * When data is complete. From then on the model is ready, and others find it;
 * if another session was quicker with the same file, its blocks are taken.
 * CML_MODEL_*, CML_NO_MEMORY, CML_CRYPTO.
 */
enum cml_status cml_model_finish(struct cml_secure_memory *memory,
				 uint32_t cpu, struct cml_model *model,
				 struct cml_graph_problem *problem);
/* What another session loaded. CML_MODEL_MISSING, CML_NO_MEMORY. */
enum cml_status
cml_model_find(struct cml_secure_memory *memory,
	       const uint8_t source[CML_MODEL_SOURCE_SIZE],
	       struct cml_model *model);
/* The same by the name of the graph's block. */
enum cml_status cml_model_map(struct cml_secure_memory *memory, uint64_t name,
			      struct cml_model *model);
/* Nothing needs to be there. */
void cml_model_drop(struct cml_secure_memory *memory, struct cml_model *model);

static inline bool cml_model_is_ready(const struct cml_model *model)
{
	return model->graph.ptr;
}

/* Of a model that is ready: */
const struct cml_model_head *cml_model_head(const struct cml_model *model);
const struct cml_graph *cml_model_graph(const struct cml_model *model);
/* Of the sealed file that it came in: name, version. */
enum cml_status cml_model_header(const struct cml_model *model,
				 struct cml_header *header);

#endif /* CML_MODEL_H */

// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "model.h"

/* Of the graph in its block: on from the head, aligned. */
#define GRAPH_OFFSET	256

_Static_assert(sizeof(struct cml_model_head) <= GRAPH_OFFSET &&
	       GRAPH_OFFSET % CML_MEMORY_ALIGN == 0, "no room for the head");

const struct cml_model_head *cml_model_head(const struct cml_model *model)
{
	return (const struct cml_model_head *)model->graph.ptr;
}

const struct cml_graph *cml_model_graph(const struct cml_model *model)
{
	return (const struct cml_graph *)(model->graph.ptr + GRAPH_OFFSET);
}

enum cml_status cml_model_header(const struct cml_model *model,
				 struct cml_header *header)
{
	return cml_header_parse(cml_bytes(cml_model_head(model)->source,
					  CML_HEADER_SIZE),
				CML_KINDS(CML_KIND_MODEL), header);
}

static enum cml_status shared_status(TEE_Result res)
{
	switch (res) {
	case TEE_SUCCESS:
		return CML_OK;
	case TEE_ERROR_OUT_OF_MEMORY:
		return CML_NO_MEMORY;
	case TEE_ERROR_ITEM_NOT_FOUND:
		return CML_MODEL_MISSING;
	default:
		return CML_INTERNAL;
	}
}

static enum cml_status digest(const void *bytes, size_t len,
			      uint8_t digest[CML_SHA256_SIZE])
{
	enum cml_status status = CML_INTERNAL;
	struct cml_sha256 *sha = NULL;

	status = cml_crypto_sha256_new(&sha);
	if (!status)
		status = cml_crypto_sha256_update(sha, cml_bytes(bytes, len));
	if (!status)
		status = cml_crypto_sha256_final(sha, digest);
	cml_crypto_sha256_free(sha);

	return status;
}

/* The graph's block of the model that comes from @source. */
static enum cml_status name_of(const uint8_t source[CML_MODEL_SOURCE_SIZE],
			       uint64_t *name)
{
	uint8_t hash[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = digest(source, CML_MODEL_SOURCE_SIZE, hash);

	memcpy(name, hash, sizeof(*name));

	return status;
}

enum cml_status cml_model_begin(struct cml_secure_memory *memory,
				const struct cml_header *header,
				struct cml_model *model)
{
	TEE_Result res = cml_shared_create_new(memory, header->plaintext_len,
					       &model->data);

	model->size = header->plaintext_len;
	memcpy(model->source, header->bytes, CML_HEADER_SIZE);
	model->source_len = CML_HEADER_SIZE;

	return shared_status(res);
}

/*
 * The prepared graph as a block of its own: position independent, it is the
 * same wherever it lies.
 */
static enum cml_status publish(struct cml_secure_memory *memory, uint64_t name,
			       const struct cml_graph *graph,
			       struct cml_model *model)
{
	struct cml_model_head head = {
		.data_name = model->data.name,
		.data_size = model->size,
	};
	size_t size = GRAPH_OFFSET + cml_graph_size(graph);
	struct cml_model_head *shared = NULL;
	TEE_Result res = TEE_SUCCESS;

	res = cml_shared_create(memory, name, size, &model->graph);
	if (res == TEE_ERROR_ACCESS_CONFLICT)
		return CML_BAD_STATE;
	if (res)
		return shared_status(res);
	memcpy(head.source, model->source, sizeof(head.source));
	memcpy(head.digest, model->digest, sizeof(head.digest));
	shared = (struct cml_model_head *)model->graph.ptr;
	memcpy(shared, &head, sizeof(head));
	memcpy(model->graph.ptr + GRAPH_OFFSET, graph, cml_graph_size(graph));
	atomic_store(&shared->ready, 1);

	return CML_OK;
}

static enum cml_status map_ready(struct cml_secure_memory *memory,
				 uint64_t name, struct cml_model *model)
{
	const struct cml_model_head *head = NULL;
	TEE_Result res = cml_shared_map(memory, name, &model->graph);

	if (res)
		return shared_status(res);
	head = cml_model_head(model);
	if (!atomic_load(&head->ready))
		return CML_MODEL_MISSING;
	model->size = head->data_size;
	/* Whoever has the graph has the data: but may be about to let go. */
	res = cml_shared_map(memory, head->data_name, &model->data);

	return shared_status(res);
}

enum cml_status cml_model_map(struct cml_secure_memory *memory, uint64_t name,
			      struct cml_model *model)
{
	enum cml_status status = map_ready(memory, name, model);

	if (status)
		cml_model_drop(memory, model);

	return status;
}

enum cml_status
cml_model_find(struct cml_secure_memory *memory,
	       const uint8_t source[CML_MODEL_SOURCE_SIZE],
	       struct cml_model *model)
{
	enum cml_status status = CML_INTERNAL;
	uint64_t name = 0;

	status = name_of(source, &name);
	if (!status)
		status = cml_model_map(memory, name, model);
	if (!status && memcmp(cml_model_head(model)->source, source,
			      CML_MODEL_SOURCE_SIZE)) {
		cml_model_drop(memory, model);
		status = CML_MODEL_MISSING;
	}

	return status;
}

/* Published under the file's name; or another's, or under any name. */
static enum cml_status share(struct cml_secure_memory *memory,
			     const struct cml_graph *graph,
			     struct cml_model *model)
{
	struct cml_model found = { 0 };
	enum cml_status status = CML_INTERNAL;
	uint64_t name = 0;

	status = name_of(model->source, &name);
	if (!status)
		status = publish(memory, name, graph, model);
	if (status != CML_BAD_STATE)
		return status;

	status = cml_model_find(memory, model->source, &found);
	if (!status) {
		cml_model_drop(memory, model);
		*model = found;
		return CML_OK;
	}
	TEE_GenerateRandom(&name, sizeof(name));

	return publish(memory, name, graph, model);
}

enum cml_status cml_model_finish(struct cml_secure_memory *memory,
				 uint32_t cpu, struct cml_model *model,
				 struct cml_graph_problem *problem)
{
	const struct cml_allocator *allocator = &memory->allocator;
	struct cml_graph *graph = NULL;
	enum cml_status status = CML_INTERNAL;

	status = digest(model->data.ptr, model->len, model->digest);
	if (!status)
		status = cml_graph_prepare(allocator, model->data.ptr,
					   model->len, cpu, &graph, problem);
	if (!status)
		status = share(memory, graph, model);
	cml_graph_free(allocator, graph);

	return status;
}

void cml_model_drop(struct cml_secure_memory *memory, struct cml_model *model)
{
	cml_detector_free(model->detector);
	/* In this order: who finds a graph may count on its data a while. */
	cml_shared_unmap(memory, &model->graph);
	cml_shared_unmap(memory, &model->data);
	*model = (struct cml_model){ 0 };
}

// SPDX-License-Identifier: Apache-2.0
/* The arena is planned, weights are packed, and all is copied into a block. */
#include <string.h>

#include "build.h"

static enum cml_status plan_arena(struct cml_build *build)
{
	struct cml_graph *graph = build->graph;
	size_t count = build->tensor_count;
	int32_t first = graph->inputs[0];

	graph->tensor_count = count;
	/* Several inputs are all written before anything runs. */
	graph->arena_size = cml_arena_plan(build->items, count, first);
	graph->arena_lower_bound = cml_arena_lower_bound(build->items, count);
	if (graph->arena_size > CML_GRAPH_MAX_ARENA)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"activations need more than 64 MiB");
	graph->first_input_size = cml_align_up(build->tensors[first].size,
					   CML_MEMORY_ALIGN);
	for (size_t i = 0; i < count; i++)
		if (build->tensors[i].place == CML_PLACE_ARENA)
			build->tensors[i].offset =
				build->items[build->home[i]].offset;

	return CML_OK;
}

/* Whether nothing else that is kept lies where constant @index does. */
static bool is_alone(const struct cml_build *build, int32_t index)
{
	const struct cml_tensor *own = &build->tensors[index];

	for (size_t i = 0; i < build->tensor_count; i++) {
		const struct cml_tensor *other = &build->tensors[i];

		if ((int32_t)i != index && other->place == CML_PLACE_MODEL &&
		    own->offset < other->offset + other->size &&
		    other->offset < own->offset + own->size)
			return false;
	}

	return true;
}

/* In place goes what is one operator's own and has the right size. */
static enum cml_status pack_weights(struct cml_build *build, uint8_t *file,
				    size_t index)
{
	const struct cml_pack *pack = &build->packs[index];
	const struct cml_tensor *tensor = &build->tensors[pack->tensor];
	struct cml_op *op = &build->ops[index];
	struct cml_block copy = { 0 };
	enum cml_status status = CML_INTERNAL;
	const void *from = NULL;
	void *memory = NULL;
	void *to = NULL;

	if (tensor->place == CML_PLACE_MODEL && tensor->size == pack->size &&
	    build->users[pack->tensor] == 1 && is_alone(build, pack->tensor)) {
		status = cml_build_temporary(build, tensor->size, &memory);
		if (status)
			return status;
		to = file + tensor->offset;
		memcpy(memory, to, tensor->size);
		from = memory;
		op->packed_place = CML_PLACE_MODEL;
		op->packed = tensor->offset;
	} else {
		status = cml_build_take(build, pack->size, &copy);
		if (status)
			return status;
		to = copy.ptr;
		from = tensor->place == CML_PLACE_MODEL ?
		       file + tensor->offset :
		       cml_graph_at(build->graph, tensor->offset);
		op->packed_place = CML_PLACE_GRAPH;
		build->packs[index].copy = copy;
	}
	cml_op_types[op->type]->pack(op, build->params[index].ptr, from, to);

	return CML_OK;
}

/*
 * Nothing is read from the file's tables after this: a hostile one may have
 * them where its weights are.
 */
static enum cml_status pack_all(struct cml_build *build, uint8_t *file)
{
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < build->graph->op_count; i++)
		if (build->packs[i].tensor >= 0)
			status = pack_weights(build, file, i);

	return status;
}

/* Copies @size bytes to the end of the block, and gives their offset. */
static size_t append(uint8_t *block, size_t *used, const void *from,
		     size_t size)
{
	size_t offset = *used;

	if (size)
		memcpy(block + offset, from, size);
	*used += cml_align_up(size, CML_TABLE_ALIGN);

	return offset;
}

static enum cml_status finish(struct cml_build *build, struct cml_graph **graph)
{
	const struct cml_allocator *allocator = build->allocator;
	struct cml_graph *made = build->graph;
	size_t tensors = build->tensor_count * sizeof(*build->tensors);
	size_t ops = made->op_count * sizeof(*build->ops);
	size_t operands = made->operand_count * sizeof(*build->operands);
	uint8_t *block = NULL;
	size_t used = cml_align_up(sizeof(*made), CML_TABLE_ALIGN);

	made->size = used + cml_align_up(tensors, CML_TABLE_ALIGN) +
		     cml_align_up(ops, CML_TABLE_ALIGN) +
		     cml_align_up(operands, CML_TABLE_ALIGN);
	for (size_t i = 0; i < made->op_count; i++)
		made->size += cml_align_up(build->params[i].size,
				       CML_TABLE_ALIGN) +
			      cml_align_up(build->packs[i].copy.size,
				       CML_TABLE_ALIGN);
	for (size_t i = 0; i < build->tensor_count; i++)
		made->size += cml_align_up(build->constants[i].size,
				       CML_TABLE_ALIGN);
	block = allocator->alloc(allocator->ctx, made->size);
	if (!block)
		return cml_build_refuse(build, CML_NO_MEMORY,
					"no memory for the graph");

	for (size_t i = 0; i < made->op_count; i++) {
		struct cml_block copy = build->packs[i].copy;

		build->ops[i].params = append(block, &used,
					      build->params[i].ptr,
					      build->params[i].size);
		if (copy.size)
			build->ops[i].packed = append(block, &used, copy.ptr,
						      copy.size);
	}
	for (size_t i = 0; i < build->tensor_count; i++)
		if (build->tensors[i].place == CML_PLACE_GRAPH)
			build->tensors[i].offset =
				append(block, &used, build->constants[i].ptr,
				       build->constants[i].size);
	made->tensors = append(block, &used, build->tensors, tensors);
	made->ops = append(block, &used, build->ops, ops);
	made->operands = append(block, &used, build->operands, operands);
	memcpy(block, made, sizeof(*made));
	*graph = (struct cml_graph *)block;

	return CML_OK;
}

enum cml_status cml_build_finish(struct cml_build *build, uint8_t *file,
				 struct cml_graph **graph)
{
	enum cml_status status = plan_arena(build);

	if (!status)
		status = pack_all(build, file);
	if (!status)
		status = finish(build, graph);

	return status;
}

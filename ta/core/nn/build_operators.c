// SPDX-License-Identifier: Apache-2.0
/*
 * Operators are gone through once, in order: each is checked, prepared, and
 * computed at once if it depends on constants alone. Lifetimes of tensors
 * follow from who writes and who reads them.
 */
#include <string.h>

#include "build.h"

static const struct cml_op_type *find_type(const struct cml_tflite_operator *op,
					   uint16_t *index)
{
	for (size_t i = 0; i < cml_op_type_count; i++) {
		const struct cml_op_type *type = cml_op_types[i];
		size_t len = strlen(type->name);

		if (type->builtin_code != op->builtin_code)
			continue;
		if (type->builtin_code == CML_OP_CUSTOM &&
		    (op->custom_code.len != len ||
		     memcmp(op->custom_code.ptr, type->name, len)))
			continue;
		*index = i;
		return type;
	}

	return NULL;
}

static enum cml_status check_counts(struct cml_build *build,
				    const struct cml_op_type *type,
				    const struct cml_op *op)
{
	if (op->input_count < type->min_inputs ||
	    (type->max_inputs != CML_ANY_COUNT &&
	     op->input_count > type->max_inputs) ||
	    op->output_count < type->min_outputs ||
	    (type->max_outputs != CML_ANY_COUNT &&
	     op->output_count > type->max_outputs))
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					"operator has the wrong number of "
					"tensors");

	return CML_OK;
}

/* What it reads is there; what it must have is not absent. */
static enum cml_status check_inputs(struct cml_build *build,
				    const struct cml_op_type *type,
				    const struct cml_op *op)
{
	for (size_t i = 0; i < op->input_count; i++) {
		int32_t index = build->operands[op->operands + i];

		if (index < 0 && i < type->min_inputs)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"operator lacks a required "
						"tensor");
		if (index < 0)
			continue;
		/* To others it would be what an earlier run left there. */
		if (type->has_state && build->tensors[index].variable &&
		    build->roles[index] == CML_ROLE_NONE) {
			enum cml_status status =
				cml_build_write(build, index, op - build->ops);

			if (status)
				return status;
			build->roles[index] = CML_ROLE_STATE;
		}
		if (build->roles[index] == CML_ROLE_NONE)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"a tensor is read before it is "
						"written");
		if (!build->tensors[index].count &&
		    !(i < 32 && type->empty_inputs >> i & 1))
			return cml_build_refuse(build, CML_MODEL_SHAPE,
						"operator is given a tensor "
						"without elements");
	}
	for (size_t i = 0; i < op->output_count; i++)
		if (build->operands[op->operands + op->input_count + i] < 0)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"operator lacks a required "
						"tensor");

	return CML_OK;
}

static bool depends_on_constants(const struct cml_build *build,
				 const struct cml_op *op)
{
	for (size_t i = 0; i < op->input_count; i++) {
		int32_t index = build->operands[op->operands + i];

		if (index >= 0 && build->roles[index] != CML_ROLE_CONSTANT)
			return false;
	}

	return true;
}

/* Its outputs become constants of the graph. */
static enum cml_status compute(struct cml_build *build, struct cml_op *op,
			       size_t scratch_size)
{
	struct cml_run run = {
		.graph = build->graph,
		.model = build->model.fb.file.ptr,
	};
	struct cml_block scratch = { 0 };
	enum cml_status status = CML_INTERNAL;

	for (size_t i = 0; i < op->output_count; i++) {
		int32_t index = build->operands[op->operands +
						op->input_count + i];
		struct cml_tensor *tensor = &build->tensors[index];
		struct cml_block *block = &build->constants[index];

		/* One without elements is a constant from the beginning. */
		if (!tensor->count)
			continue;
		if (build->roles[index] != CML_ROLE_NONE)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"a tensor is written twice");
		if (!cml_tflite_type_size(tensor->type) ||
		    tensor->type == CML_TFLITE_FLOAT16)
			return cml_build_refuse(build,
						CML_MODEL_UNSUPPORTED_TYPE,
						"result is of a type that is "
						"not supported");
		tensor->place = CML_PLACE_GRAPH;
		build->roles[index] = CML_ROLE_CONSTANT;
		if (!tensor->size)
			continue;
		status = cml_build_take(build, tensor->size, block);
		if (status)
			return status;
		tensor->offset = (uintptr_t)block->ptr -
				 (uintptr_t)build->graph;
	}
	if (scratch_size) {
		status = cml_build_take(build, scratch_size, &scratch);
		if (status)
			return status;
		run.scratch = scratch.ptr;
	}
	for (uint32_t tile = 0; tile < op->tiles; tile++)
		cml_op_types[op->type]->run(&run, op, tile);

	return CML_OK;
}

/* Nobody waits any more for what a computed operator reads. */
static void forget_reads(struct cml_build *build, const struct cml_op *op)
{
	for (size_t i = 0; i < op->input_count; i++) {
		int32_t index = build->operands[op->operands + i];

		if (index >= 0)
			build->readers[index]--;
	}
}

/* The first output takes the place of an input that nobody else needs. */
static void put_in_place(struct cml_build *build, const struct cml_op *op,
			 size_t input)
{
	int32_t from = build->operands[op->operands + input];
	int32_t to = build->operands[op->operands + op->input_count];
	int32_t step = op - build->ops;
	int32_t home = from < 0 ? -1 : build->home[from];

	if (from < 0 || build->roles[from] != CML_ROLE_WRITTEN ||
	    build->readers[from] || build->items[home].first < 0 ||
	    build->items[home].last > step ||
	    build->tensors[from].size != build->tensors[to].size)
		return;
	build->home[to] = home;
	build->items[to].size = 0;
}

static enum cml_status track(struct cml_build *build, struct cml_op *op,
			     int32_t in_place)
{
	const int32_t *inputs = build->operands + op->operands;
	const int32_t *outputs = inputs + op->input_count;
	int32_t step = op - build->ops;
	enum cml_status status = CML_OK;

	for (size_t i = 0; i < op->input_count; i++)
		if (inputs[i] >= 0)
			cml_build_read(build, inputs[i], step);
	for (size_t i = 0; !status && i < op->output_count; i++)
		status = cml_build_write(build, outputs[i], step);
	if (!status && in_place >= 0 && op->output_count == 1)
		put_in_place(build, op, in_place);

	return status;
}

static enum cml_status count_work(struct cml_build *build,
				  const struct cml_node *node)
{
	const struct cml_op *op = node->op;
	uint64_t work = node->macs;

	for (size_t i = 0; i < op->output_count; i++)
		work += cml_node_output(node, i)->count;
	/* Each is at most that, so the sum does not overflow. */
	if (work > CML_GRAPH_MAX_MACS ||
	    build->work_done + work > CML_GRAPH_MAX_MACS)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"model needs more than 4 Gi "
					"multiply-accumulates");
	build->work_done += work;
	if (node->scratch > CML_GRAPH_MAX_SCRATCH)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"operator needs more than 4 MiB to "
					"work in");

	return CML_OK;
}

static enum cml_status check_operator(struct cml_build *build,
				      struct cml_node *node)
{
	const struct cml_tflite_operator *tflite = &node->tflite;
	const struct cml_op_type *type = NULL;
	struct cml_op *op = node->op;
	enum cml_status status = CML_INTERNAL;

	type = find_type(tflite, &op->type);
	if (!type)
		return cml_build_refuse(build, CML_MODEL_UNSUPPORTED_OP,
					"operator is not supported");
	if (tflite->version < 1 || tflite->version > type->max_version)
		return cml_build_refuse(build, CML_MODEL_UNSUPPORTED_OP,
					"version of the operator is not "
					"supported");
	if (tflite->options_type && tflite->options_type != type->options_type)
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					"operator does not have its own kind "
					"of options");
	status = check_counts(build, type, op);
	if (!status)
		status = check_inputs(build, type, op);

	return status;
}

static enum cml_status prepare_operator(struct cml_build *build,
					struct cml_node *node)
{
	enum cml_status status = check_operator(build, node);

	if (status)
		return status;
	status = cml_op_types[node->op->type]->prepare(node);
	if (!status && node->fb->problem)
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					node->fb->problem);
	if (status)
		return cml_build_refuse(build, status, node->reason);

	return count_work(build, node);
}

static void list_operands(struct cml_build *build, struct cml_fb_vector from)
{
	struct cml_graph *graph = build->graph;

	for (uint32_t i = 0; i < from.count; i++)
		build->operands[graph->operand_count++] =
			cml_fb_i32_at(&build->model.fb, from, i);
}

/* Operators whose result is known now are not kept. */
static enum cml_status build_operator(struct cml_build *build, size_t index)
{
	struct cml_graph *graph = build->graph;
	struct cml_node node = {
		.build = build,
		.op = &build->ops[graph->op_count],
		.fb = &build->model.fb,
		.cpu = build->cpu,
		.in_place = -1,
		.packed_input = -1,
	};
	enum cml_status status = cml_tflite_operator(&build->model, index,
						     &node.tflite);

	build->problem.op_index = index;
	build->problem.builtin_code = node.tflite.builtin_code;
	if (status)
		return cml_build_refuse(build, status, build->model.problem);
	*node.op = (struct cml_op){
		.operands = graph->operand_count,
		.input_count = node.tflite.inputs.count,
		.output_count = node.tflite.outputs.count,
		.tiles = 1,
	};
	list_operands(build, node.tflite.inputs);
	list_operands(build, node.tflite.outputs);
	status = prepare_operator(build, &node);
	if (status)
		return status;
	if (node.known || depends_on_constants(build, node.op)) {
		status = compute(build, node.op, node.scratch);
		forget_reads(build, node.op);
		build->params[graph->op_count] = (struct cml_block){ 0 };
		graph->operand_count = node.op->operands;
		return status;
	}
	status = track(build, node.op, node.in_place);
	if (status)
		return status;
	build->packs[graph->op_count] = (struct cml_pack){
		.tensor = node.packed_input < 0 ? -1 :
			  build->operands[node.op->operands +
					  node.packed_input],
		.size = node.packed_size,
	};
	node.op->macs = node.macs;
	graph->macs += node.macs;
	if (node.scratch > graph->scratch_size)
		graph->scratch_size = node.scratch;
	graph->op_count++;

	return CML_OK;
}

/* How often each tensor is read. */
static enum cml_status count_readers(struct cml_build *build)
{
	struct cml_tflite_operator tflite = { 0 };

	for (size_t i = 0; i < build->op_count; i++) {
		enum cml_status status = cml_tflite_operator(&build->model, i,
							     &tflite);

		if (status)
			return cml_build_refuse(build, status,
						build->model.problem);
		for (uint32_t j = 0; j < tflite.inputs.count; j++) {
			int32_t index = cml_fb_i32_at(&build->model.fb,
						      tflite.inputs, j);

			if (index >= 0) {
				build->users[index]++;
				build->readers[index]++;
			}
		}
	}

	return CML_OK;
}

enum cml_status cml_build_operators(struct cml_build *build)
{
	struct cml_graph *graph = build->graph;
	enum cml_status status = count_readers(build);

	for (size_t i = 0; !status && i < build->op_count; i++)
		status = build_operator(build, i);
	if (status)
		return status;
	build->problem.op_index = -1;
	build->problem.builtin_code = -1;

	for (uint32_t i = 0; i < graph->output_count; i++) {
		int32_t index = graph->outputs[i];

		if (build->roles[index] == CML_ROLE_NONE ||
		    (build->roles[index] == CML_ROLE_WRITTEN &&
		     build->items[build->home[index]].first < 0))
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"no operator writes the "
						"model's output");
		cml_build_read(build, index, build->op_count);
	}

	return CML_OK;
}

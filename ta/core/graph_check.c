// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "graph_internal.h"

static const struct cml_op_type *const op_types[] = {
	&cml_op_conv2d_s8,
	&cml_op_depthwise_conv2d_s8,
	&cml_op_add_s8,
};

enum cml_status cml_plan_open(struct cml_plan *plan, struct cml_bytes file)
{
	struct cml_tflite *model = &plan->model;
	enum cml_status status = cml_tflite_open(file, model);

	if (status)
		return refuse(plan, status, model->problem);
	if (model->tensors.count > CML_GRAPH_MAX_TENSORS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model has more than 2048 tensors");
	if (model->operators.count > CML_GRAPH_MAX_OPS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model has more than 1024 operators");
	if (!model->operators.count)
		return refuse(plan, CML_MODEL_LIMIT, "model has no operator");
	if (model->inputs.count != CML_MAX_INPUTS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model does not have exactly one input");
	if (!model->outputs.count || model->outputs.count > CML_MAX_OUTPUTS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model has no output, or more than 32");

	plan->tensor_count = model->tensors.count;
	plan->op_count = model->operators.count;

	return CML_OK;
}

/* A graph input or output as the caller sees it; data comes later. */
static enum cml_status check_view(struct cml_plan *plan, int32_t index,
				  struct cml_tensor_view *view)
{
	struct cml_node node = { .model = &plan->model };
	struct cml_activation activation = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (index < 0 || (size_t)index >= plan->tensor_count)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "model's input or output is no tensor");
	status = cml_node_activation(&node, index, &activation);
	if (status)
		return refuse(plan, status, node.reason);
	if (activation.tensor.rank != CML_MAX_DIMS)
		return refuse(plan, CML_MODEL_SHAPE,
			      "model's input or output does not have 4 "
			      "dimensions");

	memcpy(view->dims, activation.tensor.dims, sizeof(view->dims));
	view->size = activation.tensor.element_count;
	view->scale = activation.scale;
	view->zero_point = activation.zero_point;

	return CML_OK;
}

/* Tensor @index comes into being at @step. */
static enum cml_status track_write(struct cml_plan *plan, int32_t index,
				   int32_t step)
{
	struct cml_tflite_tensor tensor = { 0 };
	enum cml_status status = cml_tflite_tensor(&plan->model, index,
						   &tensor);

	if (status)
		return refuse(plan, status, plan->model.problem);
	if (tensor.data.ptr)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "a constant is written");
	if (plan->roles[index] == CML_ROLE_WRITTEN)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "a tensor is written twice");
	if (plan->roles[index] == CML_ROLE_CONSTANT)
		return refuse(plan, CML_INTERNAL, "role of a tensor changed");

	plan->roles[index] = CML_ROLE_WRITTEN;
	plan->items[index].size = tensor.element_count;
	plan->items[index].first = step;
	plan->items[index].last = step;

	return CML_OK;
}

/* Tensor @index is read at @step; -1 is no tensor. */
static enum cml_status track_read(struct cml_plan *plan, int32_t index,
				  int32_t step)
{
	struct cml_tflite_tensor tensor = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (index < 0)
		return CML_OK;
	if (plan->roles[index] == CML_ROLE_UNSEEN) {
		status = cml_tflite_tensor(&plan->model, index, &tensor);
		if (status)
			return refuse(plan, status, plan->model.problem);
		if (!tensor.data.ptr)
			return refuse(plan, CML_MODEL_MALFORMED,
				      "a tensor is read before it is written");
		plan->roles[index] = CML_ROLE_CONSTANT;
	}
	plan->items[index].last = step;

	return CML_OK;
}

const struct cml_op_type *cml_plan_op_type(int32_t builtin_code)
{
	for (size_t i = 0; i < sizeof(op_types) / sizeof(op_types[0]); i++)
		if (op_types[i]->builtin_code == builtin_code)
			return op_types[i];

	return NULL;
}

static enum cml_status check_op(struct cml_plan *plan, size_t index,
				struct cml_op *op)
{
	struct cml_node node = { .model = &plan->model, .cpu = plan->cpu };
	const struct cml_op_type *type = NULL;
	struct cml_arena_item *scratch = NULL;
	enum cml_status status = CML_INTERNAL;
	int32_t step = index;

	plan->problem.op_index = index;
	plan->problem.builtin_code = -1;
	status = cml_tflite_operator(&plan->model, index, &node.tflite);
	if (status)
		return refuse(plan, status, plan->model.problem);
	plan->problem.builtin_code = node.tflite.builtin_code;
	type = cml_plan_op_type(node.tflite.builtin_code);
	if (!type)
		return refuse(plan, CML_MODEL_UNSUPPORTED_OP,
			      "operator is not supported");
	if (node.tflite.version < 1 ||
	    node.tflite.version > type->max_version)
		return refuse(plan, CML_MODEL_UNSUPPORTED_OP,
			      "version of the operator is not supported");
	if (node.tflite.options_type != type->options_type ||
	    !node.tflite.options.pos)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "operator does not have its own kind of options");

	*op = (struct cml_op){
		.input_tensor = { -1, -1 }, .output_tensor = -1,
		.weights_tensor = -1, .bias_tensor = -1,
	};
	status = type->check(&node, op);
	if (status)
		return refuse(plan, status, node.reason);

	/* Reads first: what an operator writes, it cannot have read. */
	for (size_t i = 0; i < 2 && !status; i++)
		status = track_read(plan, op->input_tensor[i], step);
	if (!status)
		status = track_read(plan, op->weights_tensor, step);
	if (!status)
		status = track_read(plan, op->bias_tensor, step);
	if (!status)
		status = track_write(plan, op->output_tensor, step);
	if (status)
		return status;

	scratch = &plan->items[plan->tensor_count + index];
	scratch->size = op->scratch_size;
	scratch->first = step;
	scratch->last = step;

	return CML_OK;
}

/* All operators, and the limits on their sums. */
static enum cml_status check_ops(struct cml_plan *plan, struct cml_graph *graph,
				 size_t *channel_count)
{
	uint64_t work = 0;
	uint64_t channels = 0;
	enum cml_status status = CML_INTERNAL;

	for (size_t i = 0; i < plan->op_count; i++) {
		struct cml_op *op = &graph->ops[i];

		status = check_op(plan, i, op);
		if (status)
			return status;
		graph->macs += op->macs;	/* each below 2^59 */
		work += op->macs;
		work += plan->items[op->output_tensor].size;
		if (work > CML_GRAPH_MAX_MACS)
			return refuse(plan, CML_MODEL_LIMIT,
				      "model needs more than 4 Gi "
				      "multiply-accumulates");
		channels += op->channel_count + CML_CHANNEL_GROUP - 1;
		channels -= channels % CML_CHANNEL_GROUP;
		if (channels > CML_GRAPH_MAX_CHANNELS)
			return refuse(plan, CML_MODEL_LIMIT,
				      "convolutions have more than 262144 "
				      "channels in all");
	}
	plan->problem.op_index = -1;
	plan->problem.builtin_code = -1;
	*channel_count = channels;

	return CML_OK;
}

enum cml_status cml_plan_check(struct cml_plan *plan, struct cml_graph *graph,
				   size_t *channel_count)
{
	struct cml_tflite *model = &plan->model;
	int32_t index = cml_fb_i32_at(&model->fb, model->inputs, 0);
	int32_t end = plan->op_count;
	enum cml_status status = check_view(plan, index, &graph->input);

	if (status)
		return status;
	status = track_write(plan, index, -1);
	if (status)
		return status;
	status = check_ops(plan, graph, channel_count);
	if (status)
		return status;

	graph->output_count = model->outputs.count;
	for (uint32_t i = 0; i < model->outputs.count; i++) {
		index = cml_fb_i32_at(&model->fb, model->outputs, i);
		status = check_view(plan, index, &graph->outputs[i]);
		if (status)
			return status;
		if (plan->roles[index] != CML_ROLE_WRITTEN ||
		    plan->items[index].first < 0)
			return refuse(plan, CML_MODEL_MALFORMED,
				      "no operator writes the model's output");
		plan->items[index].last = end;
	}

	return CML_OK;
}

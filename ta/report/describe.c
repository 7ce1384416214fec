// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "report.h"

/* Fields of the schema that the engine has no use for */
enum { TENSOR_NAME = 3 };

static void put_uint(CborEncoder *map, const char *key, uint64_t value,
		     CborError *error)
{
	*error |= cbor_encode_text_stringz(map, key);
	*error |= cbor_encode_uint(map, value);
}

static void put_int(CborEncoder *map, const char *key, int64_t value,
		    CborError *error)
{
	*error |= cbor_encode_text_stringz(map, key);
	*error |= cbor_encode_int(map, value);
}

static void put_text(CborEncoder *map, const char *key, const char *text,
		     CborError *error)
{
	*error |= cbor_encode_text_stringz(map, key);
	*error |= cbor_encode_text_stringz(map, text);
}

/* Of the file, which may hold anything: not as text, that has to be UTF-8. */
static void put_bytes(CborEncoder *map, const char *key, struct cml_bytes bytes,
		      CborError *error)
{
	*error |= cbor_encode_text_stringz(map, key);
	*error |= cbor_encode_byte_string(map, bytes.ptr ? bytes.ptr :
					  (const uint8_t *)"", bytes.len);
}

static void put_indices(CborEncoder *map, const char *key,
			const int32_t *indices, size_t count, CborError *error)
{
	CborEncoder array = { 0 };

	*error |= cbor_encode_text_stringz(map, key);
	*error |= cbor_encoder_create_array(map, &array, count);
	for (size_t i = 0; i < count; i++)
		*error |= cbor_encode_int(&array, indices[i]);
	*error |= cbor_encoder_close_container(map, &array);
}

static struct cml_bytes tensor_name(struct cml_tflite *model, uint32_t index)
{
	struct cml_fb_table table = cml_fb_table_at(&model->fb, model->tensors,
						    index);
	struct cml_fb_vector name = cml_fb_vector(&model->fb, table,
						  TENSOR_NAME, 1);

	return cml_bytes(name.data, name.count);
}

static const char *place_name(uint8_t place)
{
	switch (place) {
	case CML_PLACE_ARENA:
		return "arena";
	case CML_PLACE_MODEL:
		return "model";
	case CML_PLACE_GRAPH:
		return "graph";
	default:
		return "none";
	}
}

static void put_tensor(CborEncoder *array, struct cml_tflite *model,
		       const struct cml_graph *graph, uint32_t index,
		       CborError *error)
{
	const struct cml_tensor *tensor = cml_graph_tensor(graph, index);
	struct cml_tflite_tensor from = { 0 };
	CborEncoder map = { 0 };

	*error |= cbor_encoder_create_map(array, &map, CborIndefiniteLength);
	put_bytes(&map, "name", tensor_name(model, index), error);
	put_uint(&map, "type", tensor->type, error);
	put_indices(&map, "shape", tensor->dims, tensor->rank, error);
	put_uint(&map, "size", tensor->size, error);
	put_text(&map, "place", place_name(tensor->place), error);
	put_uint(&map, "offset", tensor->offset, error);
	*error |= cbor_encode_text_stringz(&map, "scale");
	*error |= cbor_encode_float(&map, tensor->scale);
	put_int(&map, "zero_point", tensor->zero_point, error);
	/* One for all, or one for each channel */
	cml_tflite_tensor(model, index, &from);
	put_uint(&map, "scales", from.scale.count, error);
	*error |= cbor_encoder_close_container(array, &map);
}

static const char *kernel_name(const struct cml_op *op)
{
	const struct cml_op_type *type = cml_op_types[op->type];
	const char *name = op->kernel < type->kernel_count ?
			   type->kernels[op->kernel] : NULL;

	return name ? name : "portable";
}

/* Each tensor has one writer: so an operator that was kept is found again. */
static int32_t index_in_file(struct cml_tflite *model, int32_t output)
{
	struct cml_tflite_operator op = { 0 };

	for (uint32_t i = 0; i < model->operators.count; i++)
		if (!cml_tflite_operator(model, i, &op) && op.outputs.count &&
		    cml_fb_i32_at(&model->fb, op.outputs, 0) == output)
			return i;

	return -1;
}

static void put_operator(CborEncoder *array, struct cml_tflite *model,
			 const struct cml_graph *graph, size_t index,
			 CborError *error)
{
	const struct cml_op *op = cml_graph_op(graph, index);
	const int32_t *operands = cml_graph_at(graph, graph->operands);
	const int32_t *outputs = NULL;
	CborEncoder map = { 0 };

	operands += op->operands;
	outputs = operands + op->input_count;
	*error |= cbor_encoder_create_map(array, &map, CborIndefiniteLength);
	put_int(&map, "index", index_in_file(model, outputs[0]), error);
	put_text(&map, "name", cml_op_types[op->type]->name, error);
	put_text(&map, "kernel", kernel_name(op), error);
	put_indices(&map, "inputs", operands, op->input_count, error);
	put_indices(&map, "outputs", outputs, op->output_count, error);
	put_uint(&map, "macs", op->macs, error);
	put_uint(&map, "scratch", op->scratch, error);
	put_uint(&map, "tiles", op->tiles, error);
	put_text(&map, "packed", place_name(op->packed_place), error);
	*error |= cbor_encoder_close_container(array, &map);
}

static void put_graph(CborEncoder *map, struct cml_tflite *model,
		      const struct cml_graph *graph, CborError *error)
{
	CborEncoder array = { 0 };

	put_uint(map, "tables", cml_graph_size(graph), error);
	put_uint(map, "arena", cml_graph_arena_size(graph), error);
	put_uint(map, "lower_bound", cml_graph_arena_lower_bound(graph),
		 error);
	put_uint(map, "scratch", cml_graph_scratch_size(graph), error);
	put_uint(map, "macs", cml_graph_macs(graph), error);
	/* Where an input is written, a photo's decoder may not work. */
	put_uint(map, "first_input", graph->first_input_size, error);
	put_indices(map, "inputs", graph->inputs, graph->input_count, error);
	put_indices(map, "outputs", graph->outputs, graph->output_count,
		    error);

	*error |= cbor_encode_text_stringz(map, "operators");
	*error |= cbor_encoder_create_array(map, &array, graph->op_count);
	for (size_t i = 0; i < graph->op_count; i++)
		put_operator(&array, model, graph, i, error);
	*error |= cbor_encoder_close_container(map, &array);

	*error |= cbor_encode_text_stringz(map, "tensors");
	*error |= cbor_encoder_create_array(map, &array, graph->tensor_count);
	for (uint32_t i = 0; i < graph->tensor_count; i++)
		put_tensor(&array, model, graph, i, error);
	*error |= cbor_encoder_close_container(map, &array);
}

static bool is_supported(const struct cml_tflite_operator *op)
{
	for (size_t i = 0; i < cml_op_type_count; i++) {
		const struct cml_op_type *type = cml_op_types[i];

		if (type->builtin_code != op->builtin_code ||
		    op->version > type->max_version)
			continue;
		if (type->builtin_code != CML_OP_CUSTOM ||
		    (op->custom_code.len == strlen(type->name) &&
		     !memcmp(op->custom_code.ptr, type->name,
			     op->custom_code.len)))
			return true;
	}

	return false;
}

/* All that the engine has not, for it stops at the first. */
static void put_unsupported(CborEncoder *map, struct cml_tflite *model,
			    CborError *error)
{
	struct cml_tflite_operator op = { 0 };
	CborEncoder array = { 0 };
	CborEncoder fields = { 0 };

	*error |= cbor_encode_text_stringz(map, "unsupported");
	*error |= cbor_encoder_create_array(map, &array, CborIndefiniteLength);
	for (uint32_t i = 0; i < model->operators.count; i++) {
		if (cml_tflite_operator(model, i, &op) || is_supported(&op))
			continue;
		*error |= cbor_encoder_create_map(&array, &fields,
						  CborIndefiniteLength);
		put_uint(&fields, "index", i, error);
		put_int(&fields, "builtin_code", op.builtin_code, error);
		put_int(&fields, "version", op.version, error);
		put_bytes(&fields, "custom_code", op.custom_code, error);
		*error |= cbor_encoder_close_container(&array, &fields);
	}
	*error |= cbor_encoder_close_container(map, &array);
}

static void put_problem(CborEncoder *map, struct cml_tflite *model,
			const struct cml_graph_problem *problem,
			CborError *error)
{
	struct cml_tflite_operator op = { .builtin_code = -1 };

	put_text(map, "reason", problem->reason, error);
	put_int(map, "op_index", problem->op_index, error);
	if (problem->op_index >= 0 &&
	    (uint32_t)problem->op_index < model->operators.count)
		cml_tflite_operator(model, problem->op_index, &op);
	put_int(map, "builtin_code", op.builtin_code, error);
	put_int(map, "version", op.version, error);
	put_bytes(map, "custom_code", op.custom_code, error);
	put_unsupported(map, model, error);
}

static void put_memory(CborEncoder *map, const struct report *report,
		       CborError *error)
{
	CborEncoder fields = { 0 };

	*error |= cbor_encode_text_stringz(map, "memory");
	*error |= cbor_encoder_create_map(map, &fields, CborIndefiniteLength);
	put_uint(&fields, "model", report->model_size, error);
	put_uint(&fields, "board", report->board_size, error);
	put_uint(&fields, "load_peak", report->load_peak, error);
	put_uint(&fields, "tensors_request", report->tensors_request, error);
	*error |= cbor_encoder_close_container(map, &fields);

	*error |= cbor_encode_text_stringz(map, "detector");
	*error |= cbor_encoder_create_map(map, &fields, CborIndefiniteLength);
	put_text(&fields, "status", cml_status_name(report->detector_status),
		 error);
	put_uint(&fields, "input_size", report->input_size, error);
	put_uint(&fields, "session", report->detector_size, error);
	*error |= cbor_encoder_close_container(map, &fields);
}

void describe_model(CborEncoder *map, const struct report *report,
		    CborError *error)
{
	struct cml_tflite model = { 0 };

	/* Refused files are read, too, as far as that goes. */
	cml_tflite_open(report->file, &model);
	put_text(map, "status", cml_status_name(report->status), error);
	put_uint(map, "file", report->file.len, error);
	put_uint(map, "file_operators", model.operators.count, error);
	if (!report->graph) {
		put_problem(map, &model, &report->problem, error);
		return;
	}
	put_graph(map, &model, report->graph, error);
	put_memory(map, report, error);
}

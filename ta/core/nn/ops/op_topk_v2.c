// SPDX-License-Identifier: Apache-2.0
/*
 * The k largest of each row, largest first; of equals the first comes first.
 * The output of indices holds a heap meanwhile, its worst element on top.
 */
#include <string.h>

#include "arguments.h"

enum { INPUT, COUNT };
enum { VALUES, INDICES };

#define TYPES	(CML_F32 | CML_S8 | CML_U8 | CML_S16 | CML_S32 | CML_S64)

struct row {
	const void *data;
	uint32_t type;
	int32_t size;
};

static uint64_t log2_ceil(uint32_t number)
{
	uint64_t bits = 1;

	while (number >> bits)
		bits++;

	return bits;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *values = cml_node_output(node, VALUES);
	const struct cml_tensor *indices = cml_node_output(node, INDICES);
	enum cml_status status = cml_argument_types(node, input, TYPES);
	int32_t dims[CML_MAX_RANK] = { 0 };
	uint32_t last = input->rank - 1;
	uint32_t rows = 0;
	int64_t k = 0;

	if (!status)
		status = cml_node_type(node, values, input->type);
	if (!status)
		status = cml_node_type(node, indices, CML_TFLITE_INT32);
	if (!status && (!input->rank || !input->count))
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "no row to take the largest elements of");
	if (!status)
		status = cml_argument_integers(node, COUNT, 1, 1,
					       input->dims[last], &k);
	if (status)
		return status;
	memcpy(dims, input->dims, sizeof(dims));
	dims[last] = k;
	status = cml_node_shape(node, values, input->rank, dims);
	if (!status)
		status = cml_node_shape(node, indices, input->rank, dims);
	rows = input->count / input->dims[last];
	node->macs = input->count * log2_ceil(k);
	cml_node_tiles(node, rows, node->macs / rows);

	return status;
}

/* Whether element @a comes before @b in the output. */
#define BEFORE(type) \
	(((const type *)row->data)[a] > ((const type *)row->data)[b] || \
	 (a < b && \
	  !(((const type *)row->data)[a] < ((const type *)row->data)[b])))

static bool before(const struct row *row, int32_t a, int32_t b)
{
	switch (row->type) {
	case CML_TFLITE_FLOAT32:
		return BEFORE(float);
	case CML_TFLITE_INT8:
		return BEFORE(int8_t);
	case CML_TFLITE_UINT8:
		return BEFORE(uint8_t);
	case CML_TFLITE_INT16:
		return BEFORE(int16_t);
	case CML_TFLITE_INT32:
		return BEFORE(int32_t);
	default:
		return BEFORE(int64_t);
	}
}

/* Puts @index at @place of a heap of @count, or below it. */
static void sift(const struct row *row, int32_t *heap, uint32_t count,
		 uint32_t place, int32_t index)
{
	for (uint32_t child = 2 * place + 1; child < count;
	     child = 2 * place + 1) {
		if (child + 1 < count &&
		    before(row, heap[child], heap[child + 1]))
			child++;
		if (!before(row, index, heap[child]))
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = index;
}

static void find_largest(const struct row *row, int32_t *heap, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
		heap[i] = i;
	for (uint32_t i = k / 2; i-- > 0;)
		sift(row, heap, k, i, heap[i]);
	for (int32_t i = k; i < row->size; i++)
		if (before(row, i, heap[0]))
			sift(row, heap, k, 0, i);
	/* The worst of those left goes to their end. */
	for (uint32_t left = k; left-- > 1;) {
		int32_t worst = heap[0];

		sift(row, heap, left, 0, heap[left]);
		heap[left] = worst;
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_tensor *input = cml_op_input(run, op, INPUT);
	const struct cml_tensor *output = cml_op_output(run, op, VALUES);
	uint32_t k = output->dims[output->rank - 1];
	struct row row = {
		.type = input->type,
		.size = input->dims[input->rank - 1],
	};
	struct cml_range rows = cml_tile(op, tile, output->count / k);
	size_t element = cml_tflite_type_size(input->type);
	const uint8_t *data = cml_op_in(run, op, INPUT);
	uint8_t *values = cml_op_out(run, op, VALUES);
	int32_t *indices = cml_op_out(run, op, INDICES);

	for (size_t i = rows.begin; i < rows.end; i++) {
		int32_t *found = indices + i * k;
		const uint8_t *from = data + i * row.size * element;

		row.data = from;
		find_largest(&row, found, k);
		for (uint32_t j = 0; j < k; j++)
			memcpy(values + (i * k + j) * element,
			       from + found[j] * element, element);
	}
}

const struct cml_op_type cml_op_topk_v2 = {
	.name = "TOPK_V2",
	.builtin_code = CML_OP_TOPK_V2,
	.options_type = 34,
	.max_version = 3,
	.types = TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 2, .max_outputs = 2,
	.notes = "The number of elements is a constant, the indices int32.",
	.prepare = prepare,
	.run = run,
};

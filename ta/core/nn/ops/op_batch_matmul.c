// SPDX-License-Identifier: Apache-2.0
/* (..., rows, depth) times (..., depth, columns); both may be activations. */
#include <string.h>

#include "dot.h"
#include "weights.h"

enum { MATMUL_ADJ_X = 0, MATMUL_ADJ_Y = 1 };

/* Dimensions before the matrices' two: TFLite has ranks of up to 5. */
#define BATCH_RANK	3
/* Columns that are summed up at a time. */
#define BLOCK		64

struct matmul {
	uint32_t batches, rows, columns, depth;
	uint32_t batch[BATCH_RANK];	/* dimensions, outermost first */
	/* By input: elements from one matrix to the next; 0: broadcast */
	uint32_t stride[2][BATCH_RANK];
	/* From one row, column, or step along the depth to the next. */
	uint32_t x_row, x_step;
	uint32_t y_column, y_step;
	/* int8, int16 */
	int32_t x_zero_point, y_zero_point;	/* int16: 0 */
	struct cml_factor factor;
	struct cml_bounds bounds;
};

/* Where the matrix of @batch begins in input @input. */
static size_t matrix(const struct matmul *matmul, int input, uint32_t batch)
{
	size_t offset = 0;

	for (uint32_t d = BATCH_RANK; d-- > 0;) {
		offset += (size_t)(batch % matmul->batch[d]) *
			  matmul->stride[input][d];
		batch /= matmul->batch[d];
	}

	return offset;
}

/*
 * Sums of @count columns from the first of @y on, @column elements apart: a
 * row of x, element by element, times rows of y.
 */
static inline void add_rows_f32(const struct matmul *matmul, const float *x,
				const float *y, size_t column, uint32_t count,
				float *restrict sums)
{
	for (uint32_t i = 0; i < count; i++)
		sums[i] = 0;
	for (uint32_t k = 0; k < matmul->depth; k++) {
		float factor = x[(size_t)k * matmul->x_step];
		const float *row = y + (size_t)k * matmul->y_step;

		for (uint32_t i = 0; i < count; i++)
			sums[i] += factor * row[i * column];
	}
}

static inline void add_rows_s8(const struct matmul *matmul, const int8_t *x,
			       const int8_t *y, size_t column, uint32_t count,
			       uint32_t *restrict sums)
{
	for (uint32_t i = 0; i < count; i++)
		sums[i] = 0;
	for (uint32_t k = 0; k < matmul->depth; k++) {
		int32_t factor = x[(size_t)k * matmul->x_step] -
				 matmul->x_zero_point;
		const int8_t *row = y + (size_t)k * matmul->y_step;

		for (uint32_t i = 0; i < count; i++)
			sums[i] += (uint32_t)(factor * (row[i * column] -
						matmul->y_zero_point));
	}
}

static inline void add_rows_s16(const struct matmul *matmul, const int16_t *x,
				const int16_t *y, size_t column, uint32_t count,
				int64_t *restrict sums)
{
	for (uint32_t i = 0; i < count; i++)
		sums[i] = 0;
	for (uint32_t k = 0; k < matmul->depth; k++) {
		int32_t factor = x[(size_t)k * matmul->x_step];
		const int16_t *row = y + (size_t)k * matmul->y_step;

		for (uint32_t i = 0; i < count; i++)
			sums[i] += factor * row[i * column];
	}
}

static void row_f32(const struct matmul *matmul, const float *x, const float *y,
		    float *output)
{
	float sums[BLOCK];

	for (uint32_t c = 0; c < matmul->columns; c += BLOCK) {
		uint32_t rest = matmul->columns - c;
		uint32_t count = rest < BLOCK ? rest : BLOCK;
		const float *from = y + (size_t)c * matmul->y_column;

		if (matmul->y_step == 1 && matmul->x_step == 1)
			for (uint32_t i = 0; i < count; i++)
				sums[i] = cml_dot_f32(x, from + (size_t)i *
						      matmul->y_column,
						      matmul->depth);
		else if (matmul->y_column == 1)
			add_rows_f32(matmul, x, from, 1, count, sums);
		else
			add_rows_f32(matmul, x, from, matmul->y_column, count,
				     sums);
		memcpy(output + c, sums, count * sizeof(*sums));
	}
}

static void row_s8(const struct matmul *matmul, const int8_t *x,
		   const int8_t *y, int8_t *output)
{
	const struct cml_bounds *bounds = &matmul->bounds;
	uint32_t sums[BLOCK];

	for (uint32_t c = 0; c < matmul->columns; c += BLOCK) {
		uint32_t rest = matmul->columns - c;
		uint32_t count = rest < BLOCK ? rest : BLOCK;
		const int8_t *from = y + (size_t)c * matmul->y_column;

		if (matmul->y_column == 1)
			add_rows_s8(matmul, x, from, 1, count, sums);
		else
			add_rows_s8(matmul, x, from, matmul->y_column, count,
				    sums);
		for (uint32_t i = 0; i < count; i++) {
			int32_t sum = cml_quant_scale((int32_t)sums[i],
						      matmul->factor);

			sum = cml_quant_add(sum, bounds->zero_point);
			output[c + i] = cml_quant_clamp(sum, bounds->min,
							bounds->max);
		}
	}
}

static void row_s16(const struct matmul *matmul, const int16_t *x,
		    const int16_t *y, int16_t *output)
{
	int64_t sums[BLOCK];

	for (uint32_t c = 0; c < matmul->columns; c += BLOCK) {
		uint32_t rest = matmul->columns - c;
		uint32_t count = rest < BLOCK ? rest : BLOCK;

		add_rows_s16(matmul, x, y + (size_t)c * matmul->y_column,
			     matmul->y_column, count, sums);
		for (uint32_t i = 0; i < count; i++)
			output[c + i] = cml_bound_wide(sums[i], matmul->factor,
						       &matmul->bounds);
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct matmul *matmul = cml_op_params(run, op);
	struct cml_range rows = cml_tile(op, tile,
					 matmul->batches * matmul->rows);
	uint32_t type = cml_op_input(run, op, 0)->type;
	const void *x = cml_op_in(run, op, 0);
	const void *y = cml_op_in(run, op, 1);
	void *output = cml_op_out(run, op, 0);

	for (uint32_t row = rows.begin; row < rows.end; row++) {
		uint32_t batch = row / matmul->rows;
		size_t x_at = matrix(matmul, 0, batch) +
			      (size_t)(row % matmul->rows) * matmul->x_row;
		size_t y_at = matrix(matmul, 1, batch);
		size_t at = (size_t)row * matmul->columns;

		switch (type) {
		case CML_TFLITE_INT8:
			row_s8(matmul, (const int8_t *)x + x_at,
			       (const int8_t *)y + y_at, (int8_t *)output + at);
			break;
		case CML_TFLITE_INT16:
			row_s16(matmul, (const int16_t *)x + x_at,
				(const int16_t *)y + y_at,
				(int16_t *)output + at);
			break;
		default:
			row_f32(matmul, (const float *)x + x_at,
				(const float *)y + y_at, (float *)output + at);
			break;
		}
	}
}

/* Dimension @d of the batch, as if the tensor had all of them. */
static uint32_t batch_dim(const struct cml_tensor *tensor, uint32_t d)
{
	uint32_t missing = BATCH_RANK + 2 - tensor->rank;

	return d < missing ? 1 : tensor->dims[d - missing];
}

/* Inputs' sizes without their batches; strides within a matrix. */
static enum cml_status fill_matrices(struct cml_node *node,
				     struct matmul *matmul)
{
	struct cml_fb_table options = node->tflite.options;
	const struct cml_tensor *x = cml_node_input(node, 0);
	const struct cml_tensor *y = cml_node_input(node, 1);
	bool adj_x = cml_fb_u8(node->fb, options, MATMUL_ADJ_X, 0);
	bool adj_y = cml_fb_u8(node->fb, options, MATMUL_ADJ_Y, 0);
	uint32_t x_last = 0;
	uint32_t y_last = 0;

	if (x->rank < 2 || y->rank < 2 || x->rank > BATCH_RANK + 2 ||
	    y->rank > BATCH_RANK + 2)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "matrices do not have 2 to 5 dimensions");
	if (!x->count || !y->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "a matrix has no elements");
	x_last = x->dims[x->rank - 1];
	y_last = y->dims[y->rank - 1];
	matmul->depth = adj_x ? x->dims[x->rank - 2] : (int32_t)x_last;
	matmul->rows = adj_x ? (int32_t)x_last : x->dims[x->rank - 2];
	matmul->columns = adj_y ? y->dims[y->rank - 2] : (int32_t)y_last;
	matmul->x_row = adj_x ? 1 : x_last;
	matmul->x_step = adj_x ? x_last : 1;
	matmul->y_column = adj_y ? y_last : 1;
	matmul->y_step = adj_y ? 1 : y_last;
	if (matmul->depth !=
	    (adj_y ? y_last : (uint32_t)y->dims[y->rank - 2]))
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "matrices do not fit each other");

	return CML_OK;
}

static enum cml_status fill_batches(struct cml_node *node,
				    struct matmul *matmul)
{
	const struct cml_tensor *x = cml_node_input(node, 0);
	const struct cml_tensor *y = cml_node_input(node, 1);
	uint32_t rank = x->rank > y->rank ? x->rank : y->rank;
	uint32_t sizes[2] = { matmul->rows * matmul->depth,
			      matmul->depth * matmul->columns };
	int32_t dims[BATCH_RANK + 2] = { 0 };

	matmul->batches = 1;
	for (uint32_t d = BATCH_RANK; d-- > 0;) {
		uint32_t own[2] = { batch_dim(x, d), batch_dim(y, d) };

		if (own[0] != own[1] && own[0] != 1 && own[1] != 1)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "batches of matrices do not "
					  "broadcast");
		for (int i = 0; i < 2; i++) {
			matmul->stride[i][d] = own[i] == 1 ? 0 : sizes[i];
			sizes[i] *= own[i];
		}
		matmul->batch[d] = own[0] == 1 ? own[1] : own[0];
		dims[d] = matmul->batch[d];
	}
	dims[BATCH_RANK] = matmul->rows;
	dims[BATCH_RANK + 1] = matmul->columns;

	return cml_node_shape(node, cml_node_output(node, 0), rank,
			      dims + BATCH_RANK + 2 - rank);
}

static enum cml_status fill_quantization(struct cml_node *node,
					 struct matmul *matmul)
{
	const struct cml_tensor *x = cml_node_input(node, 0);
	const struct cml_tensor *y = cml_node_input(node, 1);
	const struct cml_tensor *output = cml_node_output(node, 0);
	bool wide = x->type == CML_TFLITE_INT16;
	enum cml_status status = cml_node_quantized(node, x);
	float product = x->scale * y->scale;	/* TFLite's is float, too */

	if (!status)
		status = cml_node_quantized(node, y);
	if (!status)
		status = cml_node_quantized(node, output);
	if (status)
		return status;
	if (wide && (x->zero_point || y->zero_point || output->zero_point))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "zero point of an int16 tensor is not 0");
	if (!(product > 0 && product <= __FLT_MAX__) ||
	    !cml_quant_factor((double)product / (double)output->scale,
			      &matmul->factor) ||
	    (wide && matmul->factor.shift > CML_WIDE_MAX_SHIFT))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of a matrix product are too far "
				  "apart");
	matmul->x_zero_point = x->zero_point;
	matmul->y_zero_point = y->zero_point;

	return cml_weighted_bounds(node, CML_ACT_NONE, &matmul->bounds);
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *x = cml_node_input(node, 0);
	struct matmul *matmul = NULL;
	uint64_t row_cost = 0;
	void *params = NULL;
	enum cml_status status = CML_OK;

	if (x->type != CML_TFLITE_INT8 && x->type != CML_TFLITE_INT16 &&
	    x->type != CML_TFLITE_FLOAT32)
		status = cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				    "matrices are neither int8, int16 nor "
				    "float32");
	if (!status)
		status = cml_node_type(node, cml_node_input(node, 1), x->type);
	if (!status)
		status = cml_node_type(node, cml_node_output(node, 0), x->type);
	if (!status)
		status = cml_node_params(node, sizeof(*matmul), &params);
	if (status)
		return status;
	matmul = params;
	status = fill_matrices(node, matmul);
	if (!status)
		status = fill_batches(node, matmul);
	if (!status && x->type != CML_TFLITE_FLOAT32)
		status = fill_quantization(node, matmul);
	if (status)
		return status;
	for (uint32_t d = 0; d < BATCH_RANK; d++)
		matmul->batches *= matmul->batch[d];
	row_cost = (uint64_t)matmul->columns * matmul->depth;
	node->macs = row_cost * matmul->batches * matmul->rows;
	cml_node_tiles(node, matmul->batches * matmul->rows, row_cost);

	return CML_OK;
}

const struct cml_op_type cml_op_batch_matmul = {
	.name = "BATCH_MATMUL",
	.builtin_code = CML_OP_BATCH_MATMUL,
	.options_type = 101,
	.max_version = 4,
	.types = CML_S8 | CML_S16 | CML_F32,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Both matrices have the same type, and up to 5 dimensions.",
	.prepare = prepare,
	.run = run,
};

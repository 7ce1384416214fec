// SPDX-License-Identifier: Apache-2.0
/* SLICE, STRIDED_SLICE: part of a tensor, or some of its elements. */
#include "copy.h"

/* The dimensions that are taken, those of new axes, and an ellipsis */
#define MAX_SPECS	(2 * CML_MAX_RANK + 1)

enum {
	STRIDED_SLICE_BEGIN_MASK = 0,
	STRIDED_SLICE_END_MASK = 1,
	STRIDED_SLICE_ELLIPSIS_MASK = 2,
	STRIDED_SLICE_NEW_AXIS_MASK = 3,
	STRIDED_SLICE_SHRINK_AXIS_MASK = 4,
	STRIDED_SLICE_OFFSET = 5,
};

/* What is taken of one dimension of the input. */
struct taken {
	int64_t start, count, stride;
};

/* What STRIDED_SLICE is asked for. */
struct specs {
	uint32_t count;
	uint32_t begin_mask, end_mask, ellipsis, new_axes, shrunk;
	bool offset;		/* ends are counted from the beginnings */
	int64_t begin[MAX_SPECS], end[MAX_SPECS], stride[MAX_SPECS];
};

/* The output, as it is being made. */
struct shape {
	uint32_t rank;
	int32_t dims[CML_MAX_RANK];
};

/* All that is taken is within the input. */
static enum cml_status take(struct cml_node *node, const struct taken *taken)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	struct cml_strided strided = cml_strided_start(input);
	int64_t steps[CML_MAX_RANK] = { 0 };
	int64_t first = 0;

	cml_copy_steps(input, steps);
	for (uint32_t d = input->rank; d-- > 0;) {
		first += taken[d].start * steps[d];
		cml_strided_repeat(&strided, taken[d].count,
				   taken[d].count > 1 ?
				   taken[d].stride * steps[d] : 0);
	}
	strided.offset = first * strided.element;

	return cml_strided_prepare(node, &strided);
}

static enum cml_status prepare_slice(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct taken taken[CML_MAX_RANK] = { 0 };
	int64_t begin[CML_MAX_RANK] = { 0 };
	int64_t size[CML_MAX_RANK] = { 0 };
	int32_t dims[CML_MAX_RANK] = { 0 };
	enum cml_status status = cml_copy_types(node, input, output);

	if (!status)
		status = cml_copy_numbers(node, 1, input->rank, begin);
	if (!status)
		status = cml_copy_numbers(node, 2, input->rank, size);
	for (uint32_t d = 0; !status && d < input->rank; d++) {
		int64_t dim = input->dims[d];
		bool inside = begin[d] >= 0 && begin[d] <= dim;
		int64_t left = inside ? dim - begin[d] : 0;

		if (!inside || size[d] < -1 || size[d] > left)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "slice is not within the tensor");
		dims[d] = size[d] < 0 ? left : size[d];
		taken[d] = (struct taken){ begin[d], dims[d], 1 };
	}
	if (!status)
		status = cml_node_shape(node, output, input->rank, dims);
	if (!status)
		status = take(node, taken);

	return status;
}

static enum cml_status read_specs(struct cml_node *node, struct specs *specs)
{
	struct cml_fb_table options = node->tflite.options;
	enum cml_status status = CML_OK;

	specs->count = cml_node_input(node, 1)->count;
	if (specs->count > MAX_SPECS)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "slice is of more than 13 dimensions");
	status = cml_copy_numbers(node, 1, specs->count, specs->begin);
	if (!status)
		status = cml_copy_numbers(node, 2, specs->count, specs->end);
	if (!status)
		status = cml_copy_numbers(node, 3, specs->count,
					  specs->stride);
	specs->begin_mask = cml_fb_u32(node->fb, options,
				       STRIDED_SLICE_BEGIN_MASK, 0);
	specs->end_mask = cml_fb_u32(node->fb, options, STRIDED_SLICE_END_MASK,
				     0);
	specs->ellipsis = cml_fb_u32(node->fb, options,
				     STRIDED_SLICE_ELLIPSIS_MASK, 0);
	specs->new_axes = cml_fb_u32(node->fb, options,
				     STRIDED_SLICE_NEW_AXIS_MASK, 0);
	specs->shrunk = cml_fb_u32(node->fb, options,
				   STRIDED_SLICE_SHRINK_AXIS_MASK, 0);
	specs->offset = cml_fb_u8(node->fb, options, STRIDED_SLICE_OFFSET, 0);

	return status;
}

/* From the end if negative; then to the nearest that a slice can have. */
static int64_t position(int64_t index, int64_t dim, bool backwards)
{
	int64_t low = backwards ? -1 : 0;
	int64_t high = backwards ? dim - 1 : dim;

	if (index < 0)
		index += dim;

	return index < low ? low : index > high ? high : index;
}

/* What spec @i takes of a dimension of @dim elements. */
static enum cml_status take_spec(struct cml_node *node,
				 const struct specs *specs, uint32_t i,
				 int64_t dim, struct taken *taken)
{
	int64_t stride = specs->stride[i];
	bool backwards = stride < 0;
	int64_t start = position(specs->begin[i], dim, backwards);
	int64_t end = specs->end[i];

	if (specs->begin_mask >> i & 1)
		start = backwards ? dim - 1 : 0;
	if (specs->shrunk >> i & 1) {
		if (stride < 1 || specs->begin[i] < -dim ||
		    specs->begin[i] >= dim || !dim)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "slice takes an element that the "
					  "tensor does not have");
		*taken = (struct taken){ start, 1, 1 };
		return CML_OK;
	}
	if (!stride || stride <= INT32_MIN || stride > INT32_MAX)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "stride of a slice is 0 or too large");
	/* Numbers are int32: no overflow */
	end = position(specs->offset ? end + start : end, dim, backwards);
	if (specs->end_mask >> i & 1)
		end = backwards ? -1 : dim;
	*taken = (struct taken){ start, 0, stride };
	if (!backwards && end > start)
		taken->count = (end - start + stride - 1) / stride;
	if (backwards && end < start)
		taken->count = (start - end - stride - 1) / -stride;
	/* Beyond the end of what is empty */
	if (!taken->count)
		taken->start = 0;

	return CML_OK;
}

/* The next dimension of the output. */
static enum cml_status append(struct cml_node *node, struct shape *shape,
			      int64_t dim)
{
	if (shape->rank == CML_MAX_RANK)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "tensor has more than 6 dimensions");
	shape->dims[shape->rank++] = dim;

	return CML_OK;
}

/* Dimensions of the input from *@d to below @end, as they are. */
static enum cml_status take_whole(struct cml_node *node, uint32_t *d,
				  uint32_t end, struct taken *taken,
				  struct shape *shape)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	enum cml_status status = CML_OK;

	for (; !status && *d < end; ++*d) {
		taken[*d] = (struct taken){ 0, input->dims[*d], 1 };
		status = append(node, shape, input->dims[*d]);
	}

	return status;
}

/* Where the dimensions end that the ellipsis, spec @i, stands for. */
static uint32_t ellipsis_end(const struct specs *specs, uint32_t i,
			     uint32_t rank)
{
	uint32_t later = 0;

	while (++i < specs->count)
		later += !(specs->new_axes >> i & 1);

	return later < rank ? rank - later : 0;
}

/* Of no dimension: LiteRT takes one nevertheless, TensorFlow does not. */
static enum cml_status take_ellipsis(struct cml_node *node,
				     const struct specs *specs, uint32_t i,
				     uint32_t *d, struct taken *taken,
				     struct shape *shape)
{
	uint32_t end = ellipsis_end(specs, i, cml_node_input(node, 0)->rank);

	if (end <= *d)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "ellipsis of a slice stands for no "
				  "dimension");

	return take_whole(node, d, end, taken, shape);
}

static enum cml_status prepare_strided_slice(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct taken taken[CML_MAX_RANK] = { 0 };
	struct shape shape = { 0 };
	struct specs specs = { 0 };
	enum cml_status status = cml_copy_types(node, input, output);
	uint32_t d = 0;

	if (!status)
		status = read_specs(node, &specs);
	if (!status && specs.ellipsis & (specs.ellipsis - 1))
		status = cml_refuse(node, CML_MODEL_MALFORMED,
				    "slice has more than one ellipsis");
	for (uint32_t i = 0; !status && i < specs.count; i++) {
		if (specs.ellipsis >> i & 1) {
			status = take_ellipsis(node, &specs, i, &d, taken,
					       &shape);
		} else if (specs.new_axes >> i & 1) {
			status = append(node, &shape, 1);
		} else if (d == input->rank) {
			status = cml_refuse(node, CML_MODEL_SHAPE,
					    "slice is of more dimensions than "
					    "the tensor has");
		} else {
			status = take_spec(node, &specs, i, input->dims[d],
					   &taken[d]);
			if (!status && !(specs.shrunk >> i & 1))
				status = append(node, &shape, taken[d].count);
			d++;
		}
	}
	if (!status)
		status = take_whole(node, &d, input->rank, taken, &shape);
	if (!status)
		status = cml_node_shape(node, output, shape.rank, shape.dims);
	if (!status)
		status = take(node, taken);

	return status;
}

const struct cml_op_type cml_op_slice = {
	.name = "SLICE",
	.builtin_code = CML_OP_SLICE,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 48,
	.max_version = 8,
	.types = CML_COPIED_TYPES,
	.min_inputs = 3, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Begin and size are constants",
	.prepare = prepare_slice,
	.run = cml_strided_run,
};

const struct cml_op_type cml_op_strided_slice = {
	.name = "STRIDED_SLICE",
	.builtin_code = CML_OP_STRIDED_SLICE,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 32,
	.max_version = 8,
	.types = CML_COPIED_TYPES,
	.min_inputs = 4, .max_inputs = 4,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Begin, end and strides are constants",
	.prepare = prepare_strided_slice,
	.run = cml_strided_run,
};

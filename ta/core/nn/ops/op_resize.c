// SPDX-License-Identifier: Apache-2.0
/*
 * Images to another height and width: RESIZE_BILINEAR and
 * RESIZE_NEAREST_NEIGHBOR. Tensors are (n, h, w, c).
 *
 * Positions are computed in the arithmetic of TFLite's reference: in float32,
 * or for int8 and int16 in 1/1024 of a pixel.
 */
#include <math.h>
#include <string.h>

#include "nn/op.h"

enum { BILINEAR_ALIGN_CORNERS = 2, BILINEAR_HALF_PIXEL = 3 };
enum { NEAREST_ALIGN_CORNERS = 0, NEAREST_HALF_PIXEL = 1 };
enum { IMAGE, SIZE };

#define UNIT	1024		/* of positions that are integers */

/* Height or width */
struct axis {
	int32_t in, out;
	int64_t step;		/* from one output pixel to the next, in UNIT */
	float scale;		/* the same, in pixels */
};

struct resize {
	struct axis y, x;
	uint32_t channels;
	uint32_t pixel_size;	/* bytes */
	bool align_corners, half_pixel;
};

/* Two neighbours in the input, and what each counts. */
struct place {
	int32_t low, high;
	int32_t weights[2];	/* UNIT in all */
	float float_weights[2];	/* 1 in all */
};

static inline int32_t at_most(int32_t a, int32_t b)
{
	return a < b ? a : b;
}

static struct place integer_place(const struct resize *resize,
				  const struct axis *axis, int32_t at)
{
	int32_t last = axis->in - 1;
	int64_t position = at * axis->step;
	struct place place = { 0 };

	if (resize->half_pixel)
		position += axis->step / 2 - UNIT / 2;
	/* A step that was rounded up leads out of a small image. */
	if (position > (int64_t)last * UNIT)
		position = (int64_t)last * UNIT;
	/* Before the first pixel both are that one: weights do not matter. */
	place.low = position < 0 ? 0 : position / UNIT;
	place.high = at_most((position + UNIT - 1) / UNIT, last);
	place.weights[1] = position - (int64_t)place.low * UNIT;
	place.weights[0] = UNIT - place.weights[1];

	return place;
}

static struct place float_place(const struct resize *resize,
				const struct axis *axis, int32_t at)
{
	int32_t last = axis->in - 1;
	float position = resize->half_pixel ?
			 ((float)at + 0.5f) * axis->scale - 0.5f :
			 (float)at * axis->scale;
	struct place place = {
		.low = position < 0 ? 0 : at_most(floorf(position), last),
		.high = at_most(ceilf(position), last),
	};

	place.float_weights[1] = position - (float)place.low;
	place.float_weights[0] = 1 - place.float_weights[1];

	return place;
}

/* Halves away from zero; weights of int8 and int16 are UNIT squared in all. */
#define ROUND_UNITS(sum) \
	(((sum) > 0 ? (sum) + UNIT * UNIT / 2 : (sum) - UNIT * UNIT / 2) / \
	 (UNIT * UNIT))
#define ROUND_UP_HALVES(sum)	((sum) + 0.5f)
#define AS_IT_IS(sum)		(sum)

/* One output pixel. Products and sums have the reference's order. */
#define BILINEAR(name, type, sum_type, locate, weights, finish)		\
static void name(const struct resize *resize, const void *in, void *out, \
		 uint32_t image, int32_t at_y, int32_t at_x)		\
{									\
	struct place y = locate(resize, &resize->y, at_y);		\
	struct place x = locate(resize, &resize->x, at_x);		\
	size_t channels = resize->channels;				\
	size_t top = (size_t)image * resize->y.in + y.low;		\
	size_t bottom = (size_t)image * resize->y.in + y.high;		\
	const type *input = in;						\
	const type *top_left = input + (top * resize->x.in + x.low) *	\
				       channels;			\
	const type *top_right = input + (top * resize->x.in + x.high) *	\
					channels;			\
	const type *bottom_left = input + (bottom * resize->x.in +	\
					   x.low) * channels;		\
	const type *bottom_right = input + (bottom * resize->x.in +	\
					    x.high) * channels;		\
	type *output = out;						\
									\
	for (size_t c = 0; c < channels; c++) {				\
		sum_type sum = top_left[c] * (sum_type)y.weights[0] *	\
			       x.weights[0];				\
									\
		sum += bottom_left[c] * (sum_type)y.weights[1] *	\
		       x.weights[0];					\
		sum += top_right[c] * (sum_type)y.weights[0] *		\
		       x.weights[1];					\
		sum += bottom_right[c] * (sum_type)y.weights[1] *	\
		       x.weights[1];					\
		output[c] = finish(sum);				\
	}								\
}

BILINEAR(bilinear_s8, int8_t, int32_t, integer_place, weights, ROUND_UNITS)
BILINEAR(bilinear_s16, int16_t, int64_t, integer_place, weights, ROUND_UNITS)
BILINEAR(bilinear_u8, uint8_t, float, float_place, float_weights,
	 ROUND_UP_HALVES)
BILINEAR(bilinear_f32, float, float, float_place, float_weights, AS_IT_IS)

static int32_t nearest_place(const struct resize *resize,
			     const struct axis *axis, int32_t at)
{
	float position = ((float)at + (resize->half_pixel ? 0.5f : 0.0f)) *
			 axis->scale;

	position = resize->align_corners ? roundf(position) : floorf(position);

	return at_most(position, axis->in - 1);
}

static void nearest(const struct resize *resize, const void *in, void *out,
		    uint32_t image, int32_t at_y, int32_t at_x)
{
	int32_t y = nearest_place(resize, &resize->y, at_y);
	int32_t x = nearest_place(resize, &resize->x, at_x);
	size_t pixel = ((size_t)image * resize->y.in + y) * resize->x.in + x;

	memcpy(out, (const uint8_t *)in + pixel * resize->pixel_size,
	       resize->pixel_size);
}

static const struct {
	int32_t builtin_code;
	uint32_t type;
	void (*run)(const struct resize *resize, const void *in, void *out,
		    uint32_t image, int32_t at_y, int32_t at_x);
} kernels[] = {
	{ CML_OP_RESIZE_BILINEAR, CML_TFLITE_INT8, bilinear_s8 },
	{ CML_OP_RESIZE_BILINEAR, CML_TFLITE_INT16, bilinear_s16 },
	{ CML_OP_RESIZE_BILINEAR, CML_TFLITE_UINT8, bilinear_u8 },
	{ CML_OP_RESIZE_BILINEAR, CML_TFLITE_FLOAT32, bilinear_f32 },
	{ CML_OP_RESIZE_NEAREST_NEIGHBOR, CML_TFLITE_INT8, nearest },
	{ CML_OP_RESIZE_NEAREST_NEIGHBOR, CML_TFLITE_INT16, nearest },
	{ CML_OP_RESIZE_NEAREST_NEIGHBOR, CML_TFLITE_UINT8, nearest },
	{ CML_OP_RESIZE_NEAREST_NEIGHBOR, CML_TFLITE_FLOAT32, nearest },
	{ CML_OP_RESIZE_NEAREST_NEIGHBOR, CML_TFLITE_INT32, nearest },
	{ CML_OP_RESIZE_NEAREST_NEIGHBOR, CML_TFLITE_INT64, nearest },
	{ CML_OP_RESIZE_NEAREST_NEIGHBOR, CML_TFLITE_BOOL, nearest },
};

static enum cml_status choose_kernel(struct cml_node *node)
{
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		if (kernels[i].builtin_code != node->tflite.builtin_code ||
		    kernels[i].type != cml_node_input(node, IMAGE)->type)
			continue;
		node->op->kernel = i;
		return CML_OK;
	}

	return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
			  "resizing does not have this type");
}

/* No operator here changes scales; TFLite does not even look at them. */
static enum cml_status check_tensors(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, IMAGE);
	const struct cml_tensor *size = cml_node_input(node, SIZE);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = choose_kernel(node);

	if (!status)
		status = cml_node_type(node, output, input->type);
	if (!status)
		status = cml_node_type(node, size, CML_TFLITE_INT32);
	if (!status && (input->scale > 0 || output->scale > 0))
		status = cml_node_same_quantization(node, input, output);
	if (status)
		return status;
	if (input->rank != 4 || !input->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "image does not have 4 dimensions, or no "
				  "elements");
	if (size->rank != 1 || size->count != 2)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "size of an image is not two numbers");

	return CML_OK;
}

static struct axis make_axis(int32_t in, int32_t out, bool align_corners)
{
	bool align = align_corners && out > 1;
	int64_t from = align ? in - 1 : in;
	int64_t to = align ? out - 1 : out;

	return (struct axis){
		.in = in, .out = out,
		.step = (UNIT * from + to / 2) / to,
		.scale = (float)from / (float)to,
	};
}

static enum cml_status read_options(struct cml_node *node,
				    struct resize *resize)
{
	struct cml_fb_table options = node->tflite.options;
	bool bilinear = node->tflite.builtin_code == CML_OP_RESIZE_BILINEAR;

	resize->align_corners = cml_fb_u8(node->fb, options, bilinear ?
					  BILINEAR_ALIGN_CORNERS :
					  NEAREST_ALIGN_CORNERS, 0);
	resize->half_pixel = cml_fb_u8(node->fb, options, bilinear ?
				       BILINEAR_HALF_PIXEL :
				       NEAREST_HALF_PIXEL, 0);
	if (bilinear && resize->align_corners && resize->half_pixel)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "align_corners and half_pixel_centers "
				  "exclude each other");

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, IMAGE);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct resize *resize = NULL;
	const int32_t *size = NULL;
	const void *data = NULL;
	void *params = NULL;
	enum cml_status status = check_tensors(node);

	if (!status)
		status = cml_node_need_constant(node, SIZE, &data);
	if (status)
		return status;
	/* Whatever is in it: an output that is there has no size below 1. */
	size = data;
	status = cml_node_shape(node, output, 4, (const int32_t[]){
			input->dims[0], size[0], size[1], input->dims[3] });
	if (!status && !output->count)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "size of an image is 0");
	if (!status)
		status = cml_node_params(node, sizeof(*resize), &params);
	if (status)
		return status;
	resize = params;
	status = read_options(node, resize);
	if (status)
		return status;
	resize->y = make_axis(input->dims[1], size[0], resize->align_corners);
	resize->x = make_axis(input->dims[2], size[1], resize->align_corners);
	resize->channels = input->dims[3];
	resize->pixel_size = output->size / output->count * resize->channels;
	if (node->tflite.builtin_code == CML_OP_RESIZE_BILINEAR)
		node->macs = (uint64_t)output->count * 4;
	cml_node_tiles(node, output->count / resize->channels,
		       resize->channels * 8);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct resize *resize = cml_op_params(run, op);
	uint32_t count = cml_op_output(run, op, 0)->count / resize->channels;
	struct cml_range pixels = cml_tile(op, tile, count);
	uint8_t *output = cml_op_out(run, op, 0);

	for (uint32_t p = pixels.begin; p < pixels.end; p++) {
		uint32_t row = p / resize->x.out;

		kernels[op->kernel].run(resize, cml_op_in(run, op, IMAGE),
					output + (size_t)p * resize->pixel_size,
					row / resize->y.out,
					row % resize->y.out,
					p % resize->x.out);
	}
}

const struct cml_op_type cml_op_resize_bilinear = {
	.name = "RESIZE_BILINEAR",
	.builtin_code = CML_OP_RESIZE_BILINEAR,
	.options_type = 15,
	.max_version = 4,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_U8,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The size has to be constant. int8 and int16: where LiteRT's "
		 "reference reads past the image, the last row or column "
		 "counts.",
	.prepare = prepare,
	.run = run,
};

const struct cml_op_type cml_op_resize_nearest_neighbor = {
	.name = "RESIZE_NEAREST_NEIGHBOR",
	.builtin_code = CML_OP_RESIZE_NEAREST_NEIGHBOR,
	.options_type = 74,
	.max_version = 4,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8 |
		 CML_BOOL,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The size has to be constant.",
	.prepare = prepare,
	.run = run,
};

// SPDX-License-Identifier: Apache-2.0
/* What CONV_2D and DEPTHWISE_CONV_2D share. Tensors are (n, h, w, c). */
#ifndef CML_OPS_CONV_H
#define CML_OPS_CONV_H

#include "weights.h"
#include "window.h"

/* Kernels may load per-channel numbers in groups of this many. */
#define CML_CHANNEL_GROUP	8
/* Weights of one output channel: kh * kw * c. */
#define CML_CONV_MAX_PATCH	65536
#define CML_CONV_MAX_CHANNELS	(1 << 18)

/*
 * Parameters. Accumulators of int8 are 32 bits and wrap, in every kernel
 * alike; those of int16 are 64 bits.
 */
struct cml_conv {
	int32_t batch;
	int32_t in_h, in_w, in_c;
	int32_t out_h, out_w, out_c;
	int32_t kernel_h, kernel_w;
	int32_t stride_h, stride_w;
	int32_t dilation_h, dilation_w;
	int32_t pad_h, pad_w;		/* above and left of the input */
	int32_t depth_multiplier;	/* depthwise: out_c = in_c times it */
	uint32_t tile_pixels;		/* of the output, in a unit of tiles */
	uint32_t tile_parts;		/* of the channels: cml_conv_split() */
	struct cml_bounds bounds;	/* of any type; for int8 again below */
	/* int8 */
	int32_t input_zero_point, output_zero_point;	/* -128 to 127 */
	int32_t min, max;		/* of the output, within int8 */
	/*
	 * No accumulator and no channel's shift is so large that it needs care
	 * (cml_conv_set_fast). True of any model that was trained.
	 */
	bool fast;
	uint32_t run;			/* conv_s8_scalar.c: sums that fit */
	bool one_product;		/* cml_conv_one_product() */
	int32_t channels;		/* out_c up to a whole group */
	/*
	 * int16, by channel: multiplier, shift. float32: nothing.
	 * int8, by channel: bias, multiplier, shift (struct cml_factor). The
	 * bias has -input_zero_point times the sum of the channel's weights in
	 * it, so kernels multiply inputs as they are, and padding reads as
	 * input_zero_point.
	 */
	int32_t numbers[];
};

/* Tiles are of so many output pixels: what kernels do at once, several times. */
#define CML_CONV_TILE_PIXELS	24
/* Of fewer tiles, the last keeps all workers but one waiting for too long. */
#define CML_CONV_FEW_TILES	5
/* Each packs all inputs anew, so there are no more than that. */
#define CML_CONV_PARTS		4
/* What the kernel without vectors does at once (conv_word.h) */
#define CML_CONV_SCALAR_CHANNELS	4
#define CML_CONV_PART_MACS	(1u << 18)	/* at least, in each */

/* @part of @parts of @units. */
static inline struct cml_range cml_conv_share(uint32_t part, uint32_t parts,
					      uint32_t units)
{
	return (struct cml_range){
		.begin = (uint64_t)units * part / parts,
		.end = (uint64_t)units * (part + 1) / parts,
	};
}

/* The share of @tile in the output's pixels. */
static inline struct cml_range cml_conv_pixels(const struct cml_op *op,
					       const struct cml_conv *conv,
					       uint32_t tile)
{
	uint32_t pixels = (uint32_t)conv->batch * conv->out_h * conv->out_w;
	uint32_t unit = conv->tile_pixels;
	struct cml_range range =
		cml_conv_share(tile / conv->tile_parts,
			       op->tiles / conv->tile_parts,
			       (pixels + unit - 1) / unit);

	range.begin *= unit;
	range.end *= unit;
	if (range.end > pixels)
		range.end = pixels;

	return range;
}

/* Tiles are whole multiples of @unit pixels; @cost: of one pixel */
static inline void cml_conv_tiles(struct cml_node *node, struct cml_conv *conv,
				  uint32_t unit, uint64_t cost)
{
	uint32_t pixels = (uint32_t)conv->batch * conv->out_h * conv->out_w;

	conv->tile_pixels = unit;
	conv->tile_parts = 1;
	cml_node_tiles(node, (pixels + unit - 1) / unit, cost * unit);
}

/*
 * For kernels that heed call->channels: where pixels are so few that their tiles
 * could not be shared out evenly, tiles are of all pixels and of a part of the
 * channels, in groups of @group. @macs: of all
 */
static inline void cml_conv_split(struct cml_node *node, struct cml_conv *conv,
				  uint32_t group, uint64_t macs)
{
	uint32_t groups = (conv->out_c + group - 1) / group;
	uint64_t parts = macs / CML_CONV_PART_MACS;

	if (node->op->tiles >= CML_CONV_FEW_TILES)
		return;
	if (parts > CML_CONV_PARTS)
		parts = CML_CONV_PARTS;
	if (parts > groups)
		parts = groups;
	if (parts <= node->op->tiles)
		return;
	conv->tile_pixels = (uint32_t)conv->batch * conv->out_h * conv->out_w;
	conv->tile_parts = parts;
	node->op->tiles = parts;
}

/* One call of an int8 kernel: output pixels, counted through the batch. */
struct cml_conv_call {
	const struct cml_conv *conv;
	const int8_t *input;
	/*
	 * CONV_2D: (out_c, kernel_h, kernel_w, in_c)
	 * DEPTHWISE_CONV_2D: (kernel_h, kernel_w, out_c)
	 */
	const int8_t *weights;
	int8_t *output;
	const int32_t *bias, *multiplier, *shift;
	void *scratch;
	struct cml_range pixels;
	uint32_t part;			/* of conv->tile_parts */
};

struct cml_conv_options {
	uint32_t padding, activation;
	int32_t stride_h, stride_w, dilation_h, dilation_w;
	uint32_t bias_type;		/* as struct cml_weighted has it */
};

/* int16: by output channel, from the sum to the output */
static inline struct cml_factor cml_conv_factor(const struct cml_conv *conv,
						int32_t channel)
{
	return (struct cml_factor){
		.multiplier = conv->numbers[channel],
		.shift = conv->numbers[conv->channels + channel],
	};
}

/* Weights of one output channel. */
static inline size_t cml_conv_patch(const struct cml_conv *conv)
{
	return (size_t)conv->kernel_h * conv->kernel_w * conv->in_c;
}

/*
 * Checks tensors and options but for the weights' own channels, and makes the
 * parameters. Output channels are dimension @axis of the weights.
 */
enum cml_status cml_conv_prepare(struct cml_node *node,
				 const struct cml_conv_options *options,
				 int32_t axis, struct cml_conv **conv);
/* int8, when the bias is whole. @patch: weights of a channel */
void cml_conv_set_fast(struct cml_conv *conv, int32_t patch);
struct cml_conv_call cml_conv_call(const struct cml_run *run,
				   const struct cml_op *op, uint32_t tile);

/* A tile, of any shape (conv_f32.c, conv_s16.c) */
void cml_conv_f32(const struct cml_run *run, const struct cml_op *op,
		  uint32_t tile);
void cml_depthwise_f32(const struct cml_run *run, const struct cml_op *op,
		       uint32_t tile);
void cml_conv_s16(const struct cml_run *run, const struct cml_op *op,
		  uint32_t tile);
void cml_depthwise_s16(const struct cml_run *run, const struct cml_op *op,
		       uint32_t tile);

/* Sum of the magnitudes of up to CML_CONV_MAX_PATCH weights. */
uint32_t cml_conv_magnitude(const int8_t *weights, size_t count);
/*
 * Whether a channel's sums, of weights whose magnitudes sum up to @magnitude,
 * do not wrap, and outputs follow from them as one_product.h does it.
 */
bool cml_conv_one_product(const struct cml_conv *conv, int32_t channel,
			  uint32_t magnitude);

/*
 * The values under the kernel for output pixel (@oy, @ox) of @image, in a row:
 * @row, or where they are, if that is in one piece (@in_place).
 */
const int8_t *cml_conv_gather(const struct cml_conv *conv, const int8_t *image,
			      int32_t oy, int32_t ox, bool in_place,
			      int8_t *row);

/* CONV_2D of int8 without vectors; call->weights are packed. */
void cml_conv_s8_scalar(const struct cml_conv_call *call);
size_t cml_conv_s8_scalar_scratch(const struct cml_conv *conv);
size_t cml_conv_s8_scalar_packed_size(const struct cml_conv *conv);
void cml_conv_s8_scalar_pack(const struct cml_conv *conv, const int8_t *from,
			     int8_t *to);
/* How many products of these weights and any inputs a field holds. */
void cml_conv_s8_scalar_set_run(struct cml_conv *conv, const int8_t *weights);

/*
 * Only with a depth_multiplier of 1, a kernel of 3 x 3 without dilation,
 * strides of 1 or 2, at least CML_DEPTHWISE_SCALAR_GROUP channels, and
 * conv->one_product. Tiles are whole rows.
 */
#define CML_DEPTHWISE_SCALAR_GROUP	8
void cml_depthwise_s8_scalar(const struct cml_conv_call *call);
size_t cml_depthwise_s8_scalar_scratch(const struct cml_conv *conv);

/* Kernels for NEON exist on arm64 only. */
#if defined(__aarch64__)
/*
 * Only with a depth_multiplier of 1, at least CML_DEPTHWISE_NEON_GROUP
 * channels, and weights of -127 to 127.
 */
#define CML_DEPTHWISE_NEON_GROUP	16
void cml_depthwise_s8_neon(const struct cml_conv_call *call);
size_t cml_depthwise_s8_neon_scratch(const struct cml_conv *conv);

/* The three have scratch and order of per-channel numbers in common. */
void cml_conv_s8_neon(const struct cml_conv_call *call);
void cml_conv_s8_dotprod(const struct cml_conv_call *call);
void cml_conv_s8_i8mm(const struct cml_conv_call *call);
size_t cml_conv_s8_neon_scratch(const struct cml_conv *conv);
/* Per-channel numbers into the order in which the three read them. */
void cml_conv_s8_neon_order(struct cml_conv *conv);
#endif

#endif /* CML_OPS_CONV_H */

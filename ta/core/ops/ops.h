// SPDX-License-Identifier: Apache-2.0
/*
 * What an operator is to the graph: a kernel and what it reads.
 *
 * check() is given a node of a model that is not trusted. It verifies all that
 * the kernel will rely on, fills the parameters, chooses the kernel from what
 * the CPU has, and says how much scratch and how many channels it needs.
 * bind() comes when memory is there: data pointers, scratch and the
 * per-channel arrays are set, and it fills the latter. After that run() cannot
 * fail.
 *
 * Activations are int8 (n, h, w, c) with n = 1; shapes stand beside pointers.
 */
#ifndef CML_OPS_H
#define CML_OPS_H

#include "graph.h"
#include "quant.h"
#include "tflite.h"

/* Kernels may load per-channel numbers in groups of this many. */
#define CML_CHANNEL_GROUP	8
/* Weights of one output channel of a convolution: kh * kw * c. */
#define CML_CONV_MAX_PATCH	65536
#define CML_CONV_MAX_STRIDE	1024	/* and dilation */

/* Accumulators are 32 bits and wrap, in every kernel alike. */
struct cml_conv {
	int32_t in_h, in_w, in_c;
	int32_t out_h, out_w, out_c;
	int32_t kernel_h, kernel_w;
	int32_t stride_h, stride_w;
	int32_t dilation_h, dilation_w;
	int32_t pad_h, pad_w;		/* above and left of the input */
	int32_t depth_multiplier;	/* depthwise: out_c = in_c times it */
	int32_t input_zero_point, output_zero_point;	/* -128 to 127 */
	int32_t min, max;		/* of the output, within int8 */
	/*
	 * CONV_2D: (out_c, kernel_h, kernel_w, in_c)
	 * DEPTHWISE_CONV_2D: (kernel_h, kernel_w, out_c)
	 */
	const int8_t *weights;
	/*
	 * (out_c, up to a whole CML_CHANNEL_GROUP) each. The bias has
	 * -input_zero_point times the sum of the channel's weights in it, so
	 * kernels multiply inputs as they are, and padding reads as
	 * input_zero_point.
	 */
	int32_t *bias;
	int32_t *multiplier, *shift;	/* struct cml_factor, by channel */
	/*
	 * No accumulator and no channel's shift is so large that it needs care
	 * (cml_conv_set_fast). True of any model that was trained.
	 */
	bool fast;
};

struct cml_add {
	int32_t h, w, c;		/* of the output */
	/* (h, w, c) steps of each input; 0 where it is broadcast */
	int32_t stride[2][3];
	bool broadcast;
	int32_t zero_point[2], output_zero_point;
	struct cml_factor factor[2], output_factor;	/* shifts <= 0 */
	int32_t min, max;
};

#define CML_ADD_LEFT_SHIFT	20

struct cml_op {
	void (*run)(const struct cml_op *op);
	const int8_t *input[2];
	int8_t *output;
	void *scratch;
	union {
		struct cml_conv conv;
		struct cml_add add;
	};
	size_t scratch_size;
	uint32_t channel_count;		/* per-channel numbers it needs */
	uint64_t macs;
	/* Tensors of the model: where the pointers above will come from. */
	int32_t input_tensor[2], output_tensor;		/* -1: none */
	int32_t weights_tensor, bias_tensor;
};

/* One node being checked. */
struct cml_node {
	struct cml_tflite *model;
	struct cml_tflite_operator tflite;
	uint32_t cpu;			/* enum cml_cpu */
	const char *reason;		/* static text after a refusal */
};

/* An activation: checked int8 tensor with one scale. */
struct cml_activation {
	struct cml_tflite_tensor tensor;
	float scale;			/* positive, finite */
	int32_t zero_point;		/* -128 to 127 */
};

struct cml_op_type {
	int32_t builtin_code;
	uint32_t options_type;		/* enum cml_tflite_builtin_options */
	int32_t max_version;
	enum cml_status (*check)(struct cml_node *node, struct cml_op *op);
	enum cml_status (*bind)(struct cml_node *node, struct cml_op *op);
};

extern const struct cml_op_type cml_op_conv2d_s8;
extern const struct cml_op_type cml_op_depthwise_conv2d_s8;
extern const struct cml_op_type cml_op_add_s8;

static inline enum cml_status cml_refuse(struct cml_node *node,
					 enum cml_status status,
					 const char *reason)
{
	node->reason = reason;

	return status;
}

/* node.c: what the operators' checks share. */

/* @index as in an operator's operands; -1 is refused. */
enum cml_status cml_node_activation(struct cml_node *node, int32_t index,
				    struct cml_activation *activation);
/* Weights or bias: constant, of @type, data of the size of its shape. */
enum cml_status cml_node_constant(struct cml_node *node, int32_t index,
				  uint32_t type, size_t element_size,
				  struct cml_tflite_tensor *tensor);
enum cml_status cml_node_scale(struct cml_node *node,
			       struct cml_fb_vector scale, uint32_t index,
			       float *value);
/* Every zero point is 0, and there are as many as scales. */
enum cml_status cml_node_symmetric(struct cml_node *node,
				   const struct cml_tflite_tensor *tensor);
/* The operator's output tensor has this shape. */
enum cml_status cml_node_output_shape(struct cml_node *node,
				      const struct cml_tflite_tensor *output,
				      uint32_t rank, const int32_t dims[4]);

/* conv2d.c: what the two convolutions share. */

/*
 * Which tensors @op has, and from them the input's shape and the kernel's:
 * dimensions 1 and 2 of the weights for both kinds of convolution.
 */
enum cml_status cml_conv_tensors(struct cml_node *node, struct cml_op *op,
				 struct cml_tflite_tensor *weights);

/*
 * With op->conv.out_c and the kernel's size set, and in_c, in_h, in_w: checks
 * weights (out channels at dimension @axis), bias, padding, strides and
 * scales, and sets the rest but for the kernel.
 */
struct cml_conv_options {
	uint32_t padding, activation;
	int32_t stride_h, stride_w, dilation_h, dilation_w;
};

enum cml_status cml_conv_check(struct cml_node *node, struct cml_op *op,
			       const struct cml_conv_options *options,
			       const struct cml_tflite_tensor *weights,
			       int32_t axis);
/*
 * Weights, bias and factors, without the weights' part of the bias:
 * the caller adds it.
 */
enum cml_status cml_conv_bind(struct cml_node *node, struct cml_op *op);
/* When the bias is whole. @patch: weights of a channel */
void cml_conv_set_fast(struct cml_conv *conv, int32_t patch);

/* Kernels. Each has its own file; those for NEON exist on arm64 only. */
void op_conv2d_s8(const struct cml_op *op);
void op_depthwise_conv2d_s8(const struct cml_op *op);
void op_add_s8(const struct cml_op *op);

#if defined(__aarch64__)
/* Equal shapes only. */
void op_add_s8_neon(const struct cml_op *op);

/*
 * Only with a depth_multiplier of 1, at least CML_DEPTHWISE_NEON_GROUP
 * channels, and weights of -127 to 127.
 */
#define CML_DEPTHWISE_NEON_GROUP	16
void op_depthwise_conv2d_s8_neon(const struct cml_op *op);
size_t op_depthwise_conv2d_s8_neon_scratch_size(const struct cml_conv *conv);

/* The three have scratch and order of per-channel numbers in common. */
void op_conv2d_s8_neon(const struct cml_op *op);
void op_conv2d_s8_dotprod(const struct cml_op *op);
void op_conv2d_s8_i8mm(const struct cml_op *op);
size_t op_conv2d_s8_neon_scratch_size(const struct cml_conv *conv);
/* Per-channel numbers into the order in which the three read them. */
void op_conv2d_s8_neon_order(struct cml_conv *conv);
#endif

#endif /* CML_OPS_H */

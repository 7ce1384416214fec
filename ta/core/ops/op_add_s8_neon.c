// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)

#include <string.h>

#include "neon.h"
#include "ops.h"

#define GROUP	8

struct input {
	int16x8_t zero_point;
	int32x4_t multiplier, left, right;
};

static struct input input_of(const struct cml_add *add, int i)
{
	return (struct input){
		.zero_point = vdupq_n_s16(add->zero_point[i]),
		.multiplier = vdupq_n_s32(add->factor[i].multiplier),
		.left = vdupq_n_s32(0),
		.right = vdupq_n_s32(add->factor[i].shift),
	};
}

static int32x4_t rescale(int16x4_t x, const struct input *input)
{
	return cml_neon_scale(vshlq_n_s32(vmovl_s16(x), CML_ADD_LEFT_SHIFT),
			      input->multiplier, input->left, input->right);
}

static int8x8_t add_group(const int8_t *a, const int8_t *b,
			  const struct input inputs[2],
			  const struct cml_neon_channels *output_factor,
			  struct cml_neon_output range)
{
	int16x8_t a16 = vsubq_s16(vmovl_s8(vld1_s8(a)), inputs[0].zero_point);
	int16x8_t b16 = vsubq_s16(vmovl_s8(vld1_s8(b)), inputs[1].zero_point);
	int32x4_t low = vaddq_s32(rescale(vget_low_s16(a16), &inputs[0]),
				  rescale(vget_low_s16(b16), &inputs[1]));
	int32x4_t high = vaddq_s32(rescale(vget_high_s16(a16), &inputs[0]),
				   rescale(vget_high_s16(b16), &inputs[1]));

	return cml_neon_requantize(low, high, output_factor, range);
}

void op_add_s8_neon(const struct cml_op *op)
{
	const struct cml_add *add = &op->add;
	struct cml_neon_output range = cml_neon_output(add->output_zero_point,
						       add->min, add->max);
	struct input inputs[2] = { input_of(add, 0), input_of(add, 1) };
	int32x4_t multiplier = vdupq_n_s32(add->output_factor.multiplier);
	int32x4_t right = vdupq_n_s32(add->output_factor.shift);
	struct cml_neon_channels factor = {
		.multiplier = { multiplier, multiplier },
		.left = { vdupq_n_s32(0), vdupq_n_s32(0) },
		.right = { right, right },
	};
	size_t count = (size_t)add->h * add->w * add->c;
	size_t whole = count - count % GROUP;
	int8_t a[GROUP] = { 0 };
	int8_t b[GROUP] = { 0 };
	int8_t sum[GROUP] = { 0 };

	for (size_t i = 0; i < whole; i += GROUP)
		vst1_s8(op->output + i,
			add_group(op->input[0] + i, op->input[1] + i, inputs,
				  &factor, range));
	if (whole == count)
		return;

	memcpy(a, op->input[0] + whole, count - whole);
	memcpy(b, op->input[1] + whole, count - whole);
	vst1_s8(sum, add_group(a, b, inputs, &factor, range));
	memcpy(op->output + whole, sum, count - whole);
}

#else
/* ISO C wants a declaration in a file. */
typedef int op_add_s8_neon_is_for_arm64;
#endif

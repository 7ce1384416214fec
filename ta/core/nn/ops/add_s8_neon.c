// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)

#include <string.h>

#include "add.h"
#include "neon.h"

#define GROUP	16

struct input {
	int16x8_t zero_point;
	int32x4_t multiplier, shift;	/* shift <= 0 */
};

static struct input input_of(const struct cml_add *add, int i)
{
	return (struct input){
		.zero_point = vdupq_n_s16(add->zero_point[i]),
		.multiplier = vdupq_n_s32(add->factor[i].multiplier),
		.shift = vdupq_n_s32(add->factor[i].shift),
	};
}

/* As the portable kernel's rescale(): without a shift to the left */
static inline int32x4_t rescale(int16x4_t x, const struct input *input)
{
	int32x4_t wide = vshlq_n_s32(vmovl_s16(x), CML_ADD_LEFT_SHIFT);

	wide = vqrdmulhq_s32(wide, input->multiplier);

	return cml_neon_shift_right(wide, input->shift);
}

struct sums {
	int32x4_t v0, v1;
};

static inline struct sums add_eight(int8x8_t a, int8x8_t b,
				    const struct input inputs[2])
{
	int16x8_t wide_a = vsubq_s16(vmovl_s8(a), inputs[0].zero_point);
	int16x8_t wide_b = vsubq_s16(vmovl_s8(b), inputs[1].zero_point);

	return (struct sums){
		.v0 = vaddq_s32(rescale(vget_low_s16(wide_a), &inputs[0]),
				rescale(vget_low_s16(wide_b), &inputs[1])),
		.v1 = vaddq_s32(rescale(vget_high_s16(wide_a), &inputs[0]),
				rescale(vget_high_s16(wide_b), &inputs[1])),
	};
}

static int8x16_t add_group(const int8_t *a, const int8_t *b,
			   const struct input inputs[2],
			   struct cml_neon_factor factor,
			   struct cml_neon_range range)
{
	int8x16_t all_a = vld1q_s8(a);
	int8x16_t all_b = vld1q_s8(b);
	struct sums low = add_eight(vget_low_s8(all_a), vget_low_s8(all_b),
				    inputs);
	struct sums high = add_eight(vget_high_s8(all_a),
				     vget_high_s8(all_b), inputs);

	return cml_neon_concatenate(
		cml_neon_output(low.v0, false, factor, range),
		cml_neon_output(low.v1, false, factor, range),
		cml_neon_output(high.v0, false, factor, range),
		cml_neon_output(high.v1, false, factor, range));
}

void cml_add_s8_neon(const struct cml_add *add, const int8_t *a,
		     const int8_t *b, int8_t *output, size_t count)
{
	struct cml_neon_range range = cml_neon_range(add->output_zero_point,
						     add->min, add->max);
	struct input inputs[2] = { input_of(add, 0), input_of(add, 1) };
	struct cml_neon_factor factor = cml_neon_factor(
		vdupq_n_s32(add->output_factor.multiplier),
		vdupq_n_s32(add->output_factor.shift));
	size_t whole = count - count % GROUP;
	int8_t last_a[GROUP] = { 0 };
	int8_t last_b[GROUP] = { 0 };
	int8_t sum[GROUP] = { 0 };

	for (size_t i = 0; i < whole; i += GROUP)
		vst1q_s8(output + i,
			 add_group(a + i, b + i, inputs, factor, range));
	if (whole == count)
		return;

	memcpy(last_a, a + whole, count - whole);
	memcpy(last_b, b + whole, count - whole);
	vst1q_s8(sum, add_group(last_a, last_b, inputs, factor, range));
	memcpy(output + whole, sum, count - whole);
}

#else
/* ISO C wants a declaration in a file. */
typedef int cml_add_s8_neon_is_for_arm64;
#endif

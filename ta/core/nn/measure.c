// SPDX-License-Identifier: Apache-2.0
#include "measure.h"

#if defined(__aarch64__)
#include "ops/conv.h"

/* A pointwise convolution: like most of what a network for devices does. */
#define SIDE		8
#define IN_CHANNELS	96
#define OUT_CHANNELS	48
#define PIXELS		(SIDE * SIDE)
#define LONG_ENOUGH_US	4000
#define TURNS		3	/* of each; the best counts */
#define MAX_ROUNDS	10000	/* whatever the clock does */

struct trial {
	struct cml_conv conv;
	int32_t numbers[3 * OUT_CHANNELS];
	int8_t input[PIXELS * IN_CHANNELS];
	int8_t weights[OUT_CHANNELS * IN_CHANNELS];
	int8_t output[PIXELS * OUT_CHANNELS];
};

typedef void (*kernel)(const struct cml_conv_call *call);

/* Rounds in a second, about; the first is not counted. */
static uint64_t rate(kernel run, const struct cml_conv_call *call,
		     cml_clock clock, void *clock_ctx)
{
	uint64_t rounds = 0;
	uint64_t begin = 0;
	uint64_t elapsed = 0;

	run(call);
	begin = clock(clock_ctx);
	do {
		run(call);
		rounds++;
		elapsed = clock(clock_ctx) - begin;
	} while (elapsed < LONG_ENOUGH_US && rounds < MAX_ROUNDS);

	return elapsed ? rounds * 1000000 / elapsed : rounds;
}

static kernel vector_kernel(uint32_t cpu)
{
	if (cpu & CML_CPU_I8MM)
		return cml_conv_s8_i8mm;

	return cpu & CML_CPU_DOTPROD ? cml_conv_s8_dotprod : cml_conv_s8_neon;
}

static bool scalar_wins(struct trial *trial, void *scratch, uint32_t cpu,
			cml_clock clock, void *clock_ctx)
{
	struct cml_conv_call call = {
		.conv = &trial->conv,
		.input = trial->input,
		.weights = trial->weights,
		.output = trial->output,
		.bias = trial->numbers,
		.multiplier = trial->numbers + OUT_CHANNELS,
		.shift = trial->numbers + 2 * OUT_CHANNELS,
		.scratch = scratch,
		.pixels = { .end = PIXELS },
	};
	uint64_t scalar = 0;
	uint64_t vector = 0;

	for (size_t i = 0; i < OUT_CHANNELS; i++) {
		trial->numbers[OUT_CHANNELS + i] = 1 << 30;
		trial->numbers[2 * OUT_CHANNELS + i] = -8;
	}

	/* Whatever else runs takes its time from one of them, here and there. */
	for (int i = 0; i < TURNS; i++) {
		uint64_t s = rate(cml_conv_s8_scalar, &call, clock, clock_ctx);
		uint64_t v = rate(vector_kernel(cpu), &call, clock, clock_ctx);

		scalar = s > scalar ? s : scalar;
		vector = v > vector ? v : vector;
	}

	return scalar > vector;
}

uint32_t cml_measure_cpu(const struct cml_allocator *allocator, uint32_t cpu,
			 cml_clock clock, void *clock_ctx)
{
	struct trial *trial = NULL;
	void *scratch = NULL;
	size_t size = 0;

	if (!(cpu & CML_CPU_NEON))
		return cpu;
	trial = allocator->alloc(allocator->ctx, sizeof(*trial));
	if (!trial)
		return cpu;
	trial->conv = (struct cml_conv){
		.batch = 1, .in_h = SIDE, .in_w = SIDE, .in_c = IN_CHANNELS,
		.out_h = SIDE, .out_w = SIDE, .out_c = OUT_CHANNELS,
		.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
		.dilation_h = 1, .dilation_w = 1, .min = INT8_MIN,
		.max = INT8_MAX, .fast = true, .run = IN_CHANNELS,
		.one_product = true,
		.channels = OUT_CHANNELS,
	};
	size = cml_conv_s8_scalar_scratch(&trial->conv);
	if (size < cml_conv_s8_neon_scratch(&trial->conv))
		size = cml_conv_s8_neon_scratch(&trial->conv);
	scratch = allocator->alloc(allocator->ctx, size);
	if (scratch && scalar_wins(trial, scratch, cpu, clock, clock_ctx))
		cpu |= CML_CPU_FAST_SCALAR;
	allocator->release(allocator->ctx, scratch, size);
	allocator->release(allocator->ctx, trial, sizeof(*trial));

	return cpu;
}
#else
uint32_t cml_measure_cpu(const struct cml_allocator *allocator, uint32_t cpu,
			 cml_clock clock, void *clock_ctx)
{
	(void)allocator;
	(void)clock;
	(void)clock_ctx;

	return cpu;
}
#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The engine in the normal world: the same files as in the TA, on one thread.
 *
 *	cml-bench-engine MODEL PHOTO CPU
 *
 * CPU: bits of enum cml_cpu, which kernels to use; 0: what is fast here.
 * The photo is decoded and resized as the TA does it, and becomes the input.
 * A first line says what was loaded; then, a command a line:
 *
 *	network MS	{"rounds", "us", "all_rounds"}: for MS milliseconds at
 *			least; with rounds that were tried before
 *	op INDEX MS	the same for one operator
 *	peak INDEX MS	the same, and {"name", "macs"} of a round; null for a
 *			loop that this processor cannot run, or is not there
 *	jpeg MS		the photo decoded, resize MS: and resized
 *	layers		{"layers": [{"name", "macs", "tiles", "packed",
 *			"shapes"}]}
 *	input FILE	{}: writes the input
 *	outputs FILE	{}: one run, writes all outputs one after the other
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "gemm.h"
#include "jpeg.h"
#include "lines.h"
#include "measure.h"
#include "resize.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#endif

#define LINE_SIZE	4096
#define PHOTO_MEMORY	(32u << 20)

struct engine {
	struct cml_bench bench;
	struct cml_bytes photo;
	uint32_t side;		/* of the input */
	uint8_t *input, *outputs;
	struct cml_resize *resize;
	bool only_jpeg;
};

static void *allocate(void *ctx, size_t size)
{
	size_t room = (size + CML_MEMORY_ALIGN - 1) / CML_MEMORY_ALIGN *
		      CML_MEMORY_ALIGN;
	void *block = aligned_alloc(CML_MEMORY_ALIGN, room);

	(void)ctx;
	if (block)
		memset(block, 0, room);

	return block;
}

static void release(void *ctx, void *ptr, size_t size)
{
	(void)ctx;
	(void)size;
	free(ptr);
}

static const struct cml_allocator allocator = {
	.alloc = allocate,
	.release = release,
};

static uint64_t clock_us(void *ctx)
{
	(void)ctx;

	return bench_now_ns() / 1000;
}

static uint32_t cpu_features(void)
{
	uint32_t cpu = CML_CPU_PORTABLE;

#if defined(__aarch64__)
	cpu |= CML_CPU_NEON;
	if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)
		cpu |= CML_CPU_DOTPROD;
	if (getauxval(AT_HWCAP2) & HWCAP2_I8MM)
		cpu |= CML_CPU_I8MM;
#endif

	return cpu;
}

/* The photo --------------------------------------------------------------*/

static enum cml_status on_start(void *ctx, const struct cml_jpeg_info *info)
{
	struct engine *engine = ctx;

	if (engine->only_jpeg)
		return CML_OK;

	return cml_resize_new(&allocator, info->width, info->height,
			      info->orientation, engine->side,
			      (int8_t *)engine->input, &engine->resize);
}

static bool on_wants(void *ctx, uint32_t y)
{
	const struct engine *engine = ctx;

	return engine->only_jpeg || cml_resize_wants(engine->resize, y);
}

static void on_row(void *ctx, uint32_t y, const uint8_t *rgb)
{
	struct engine *engine = ctx;

	if (!engine->only_jpeg)
		cml_resize_row(engine->resize, y, rgb);
}

static void decode(void *ctx)
{
	struct engine *engine = ctx;
	struct cml_jpeg_sink sink = {
		.ctx = engine,
		.start = on_start,
		.wants = on_wants,
		.row = on_row,
	};
	struct cml_jpeg *jpeg = NULL;
	enum cml_status status = CML_INTERNAL;

	status = cml_jpeg_new(&allocator, PHOTO_MEMORY, &sink, &jpeg);
	if (!status)
		status = cml_jpeg_push(jpeg, engine->photo);
	if (!status)
		status = cml_jpeg_finish(jpeg);
	cml_resize_free(engine->resize);
	engine->resize = NULL;
	cml_jpeg_free(jpeg);
	if (status)
		bench_fail("the photo: %s", cml_status_name(status));
}

/* Commands ---------------------------------------------------------------*/

static void put_time(struct cml_bench_time time)
{
	printf("{\"rounds\": %" PRIu32 ", \"us\": %" PRIu64
	       ", \"all_rounds\": %" PRIu32 "}\n",
	       time.rounds, time.us, time.all_rounds);
}

static void run(struct engine *engine, uint32_t op, const char *ms)
{
	struct cml_bench_time time = { 0 };

	if (cml_bench_run(&engine->bench, op,
			  bench_number(ms, CML_BENCH_MAX_MS) * 1000, &time))
		bench_fail("no operator %" PRIu32, op);
	put_time(time);
}

static void photo(struct engine *engine, bool only_jpeg, const char *ms)
{
	engine->only_jpeg = only_jpeg;
	put_time(cml_bench_repeat(clock_us, NULL,
				  bench_number(ms, CML_BENCH_MAX_MS) * 1000,
				  decode, engine));
	engine->only_jpeg = false;
}

static void peak(size_t index, const char *ms)
{
	uint64_t us = bench_number(ms, CML_BENCH_MAX_MS) * 1000;
	struct cml_bench_time time = { 0 };
	struct cml_gemm *gemm = NULL;

	if (index >= cml_gemm_count() ||
	    !cml_gemm_runs(index, cpu_features())) {
		puts("null");
		return;
	}
	gemm = cml_gemm_new(&allocator, index);
	if (!gemm)
		bench_fail("no memory");
	time = cml_bench_repeat(clock_us, NULL, us, cml_gemm_run, gemm);
	if (!cml_gemm_correct(gemm))
		bench_fail("inner loop %s computes wrong numbers",
			   cml_gemm_name(index));
	cml_gemm_free(gemm);
	printf("{\"rounds\": %" PRIu32 ", \"us\": %" PRIu64
	       ", \"name\": \"%s\", \"macs\": %" PRIu32 "}\n",
	       time.rounds, time.us, cml_gemm_name(index), CML_GEMM_MACS);
}

static void put_shape(const int32_t shape[CML_BENCH_RANK], const char *before)
{
	printf("%s[", before);
	for (size_t i = 0; i < CML_BENCH_RANK; i++)
		printf("%s%" PRId32, i ? ", " : "", shape[i]);
	printf("]");
}

static void layers(const struct cml_bench *bench)
{
	printf("{\"layers\": [");
	for (size_t i = 0; i < cml_graph_op_count(bench->graph); i++) {
		struct cml_bench_layer layer = cml_bench_layer(bench, i);

		printf("%s{\"name\": \"%s\", \"macs\": %" PRIu64
		       ", \"tiles\": %" PRIu32 ", \"packed\": %" PRIu32
		       ", \"shapes\": ", i ? ", " : "", layer.name,
		       layer.macs, layer.tiles, layer.packed);
		for (size_t s = 0; s < CML_BENCH_SHAPES; s++)
			put_shape(layer.shapes[s], s ? ", " : "[");
		printf("]}");
	}
	printf("]}\n");
}

static void obey(struct engine *engine, const struct bench_words *words)
{
	const struct cml_bench *bench = &engine->bench;
	const char *name = words->word[0];

	if (words->count == 2 && !strcmp(name, "network")) {
		run(engine, CML_BENCH_NETWORK, words->word[1]);
	} else if (words->count == 3 && !strcmp(name, "op")) {
		run(engine, bench_number(words->word[1], UINT32_MAX - 1),
		    words->word[2]);
	} else if (words->count == 3 && !strcmp(name, "peak")) {
		peak(bench_number(words->word[1], UINT32_MAX), words->word[2]);
	} else if (words->count == 2 && !strcmp(name, "jpeg")) {
		photo(engine, true, words->word[1]);
	} else if (words->count == 2 && !strcmp(name, "resize")) {
		photo(engine, false, words->word[1]);
	} else if (words->count == 1 && !strcmp(name, "layers")) {
		layers(bench);
	} else if (words->count == 2 && !strcmp(name, "input")) {
		bench_write(words->word[1], engine->input,
			    cml_bench_input_size(bench));
		puts("{}");
	} else if (words->count == 2 && !strcmp(name, "outputs")) {
		cml_bench_infer(bench, engine->input, engine->outputs);
		bench_write(words->word[1], engine->outputs,
			    cml_bench_outputs_size(bench));
		puts("{}");
	} else {
		bench_fail("no such command: %s, %zu words", name,
			   words->count);
	}
}

static void load(struct engine *engine, const char *path, uint32_t cpu)
{
	struct cml_graph_problem problem = { .op_index = -1 };
	struct cml_bench *bench = &engine->bench;
	struct cml_tensor_info input = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_bytes model = { 0 };

	model.ptr = bench_read(path, &model.len);
	*bench = (struct cml_bench){
		.allocator = &allocator,
		.clock = clock_us,
	};
	status = cml_bench_load(bench, model, cpu_features(), cpu, &problem);
	if (status)
		bench_fail("%s: %s (operator %" PRId32 "): %s", path,
			   cml_status_name(status), problem.op_index,
			   problem.reason ? problem.reason : "no reason");
	free((void *)(uintptr_t)model.ptr);
	input = cml_graph_input(bench->graph, 0);
	if (input.type != CML_TFLITE_INT8 || input.rank != 4 ||
	    input.dims[0] != 1 || input.dims[1] != input.dims[2] ||
	    input.dims[3] != 3)
		bench_fail("%s: its input is no square photo of int8", path);
	engine->side = input.dims[1];
}

int main(int argc, char **argv)
{
	struct engine engine = { 0 };
	struct bench_words words = { 0 };
	char line[LINE_SIZE];

	if (argc != 4)
		bench_fail("usage: cml-bench-engine MODEL PHOTO CPU");
	load(&engine, argv[1], bench_number(argv[3], UINT32_MAX));
	engine.photo.ptr = bench_read(argv[2], &engine.photo.len);
	engine.input = allocate(NULL, cml_bench_input_size(&engine.bench));
	engine.outputs = allocate(NULL, cml_bench_outputs_size(&engine.bench));
	if (!engine.input || !engine.outputs)
		bench_fail("no memory");
	decode(&engine);

	printf("{\"operators\": %zu, \"cpu\": %" PRIu32 ", \"macs\": %" PRIu64
	       ", \"arena\": %zu}\n",
	       cml_graph_op_count(engine.bench.graph), engine.bench.cpu,
	       cml_graph_macs(engine.bench.graph),
	       cml_graph_arena_size(engine.bench.graph));
	while (bench_next(line, sizeof(line), &words))
		obey(&engine, &words);
	cml_bench_unload(&engine.bench);
	free(engine.input);
	free(engine.outputs);
	free((void *)(uintptr_t)engine.photo.ptr);

	return 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * The peer: LiteRT in the normal world.
 *
 *	cml-bench-litert MODEL INPUT xnnpack|reference|builtin THREADS
 *
 * A first line says whether XNNPACK took all of the model; then, a command a
 * line:
 *
 *	network MS	{"rounds", "us", "all_rounds"}: for MS milliseconds at
 *			least
 *	outputs FILE	{}: one run, writes all outputs one after the other
 *
 * Elements are taken to be bytes: int8 models.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "litert_api.h"

#define LINE_SIZE	4096
#define MAX_BUFFERS	32
#define MAX_MS		60000
#define MAX_THREADS	64

struct buffers {
	size_t count;
	LiteRtTensorBuffer handle[MAX_BUFFERS];
	void *memory[MAX_BUFFERS];
	size_t size[MAX_BUFFERS];	/* of the tensor */
};

struct peer {
	LiteRtEnvironment environment;
	LiteRtModel model;
	LiteRtSubgraph subgraph;
	LiteRtCompiledModel compiled;
	struct buffers inputs, outputs;
};

#define CHECK(call) \
	do { \
		LiteRtStatus status_ = (call); \
		if (status_) \
			bench_fail("LiteRT: %s: status %d", #call, status_); \
	} while (0)

static void keep(void *payload)
{
	(void)payload;
}

/* @options: text that outlives the call */
static void compile(struct peer *peer, const char *path, char *options)
{
	LiteRtOptions all = NULL;
	LiteRtOpaqueOptions cpu = NULL;

	CHECK(LiteRtCreateEnvironment(0, NULL, &peer->environment));
	CHECK(LiteRtCreateModelFromFile(peer->environment, path, &peer->model));
	CHECK(LiteRtGetModelSubgraph(peer->model, 0, &peer->subgraph));
	CHECK(LiteRtCreateOptions(&all));
	CHECK(LiteRtSetOptionsHardwareAccelerators(all,
						   LITERT_ACCELERATOR_CPU));
	CHECK(LiteRtCreateOpaqueOptions(LITERT_CPU_OPTIONS, options, keep,
					&cpu));
	CHECK(LiteRtAddOpaqueOptions(all, cpu));
	CHECK(LiteRtCreateCompiledModel(peer->environment, peer->model, all,
					&peer->compiled));
}

static void add(struct buffers *buffers, LiteRtTensor tensor,
		LiteRtTensorBufferRequirements requirements)
{
	struct LiteRtRankedTensorType type = { 0 };
	size_t index = buffers->count;
	size_t size = 1;
	size_t room = 0;

	if (index == MAX_BUFFERS)
		bench_fail("more than %d inputs or outputs", MAX_BUFFERS);
	CHECK(LiteRtGetRankedTensorType(tensor, &type));
	for (size_t i = 0; i < type.layout.rank; i++)
		size *= type.layout.dimensions[i];
	CHECK(LiteRtGetTensorBufferRequirementsBufferSize(requirements, &room));
	if (room < size)
		room = size;
	room = (room + LITERT_ALIGNMENT - 1) / LITERT_ALIGNMENT *
	       LITERT_ALIGNMENT;
	buffers->memory[index] = aligned_alloc(LITERT_ALIGNMENT, room);
	if (!buffers->memory[index])
		bench_fail("no memory");
	memset(buffers->memory[index], 0, room);
	CHECK(LiteRtCreateTensorBufferFromHostMemory(
		&type, buffers->memory[index], room, NULL,
		&buffers->handle[index]));
	buffers->size[index] = size;
	buffers->count++;
}

static void make_buffers(struct peer *peer)
{
	LiteRtTensorBufferRequirements requirements = NULL;
	LiteRtParamIndex inputs = 0;
	LiteRtParamIndex outputs = 0;
	LiteRtTensor tensor = NULL;

	CHECK(LiteRtGetNumSubgraphInputs(peer->subgraph, &inputs));
	CHECK(LiteRtGetNumSubgraphOutputs(peer->subgraph, &outputs));
	for (LiteRtParamIndex i = 0; i < inputs; i++) {
		CHECK(LiteRtGetSubgraphInput(peer->subgraph, i, &tensor));
		CHECK(LiteRtGetCompiledModelInputBufferRequirements(
			peer->compiled, 0, i, &requirements));
		add(&peer->inputs, tensor, requirements);
	}
	for (LiteRtParamIndex i = 0; i < outputs; i++) {
		CHECK(LiteRtGetSubgraphOutput(peer->subgraph, i, &tensor));
		CHECK(LiteRtGetCompiledModelOutputBufferRequirements(
			peer->compiled, 0, i, &requirements));
		add(&peer->outputs, tensor, requirements);
	}
}

static void run(struct peer *peer)
{
	CHECK(LiteRtRunCompiledModel(peer->compiled, 0, peer->inputs.count,
				     peer->inputs.handle, peer->outputs.count,
				     peer->outputs.handle));
}

static void network(struct peer *peer, uint64_t at_least_ns)
{
	uint64_t begin = bench_now_ns();
	uint64_t elapsed = 0;
	uint32_t rounds = 0;

	do {
		run(peer);
		rounds++;
		elapsed = bench_now_ns() - begin;
	} while (elapsed < at_least_ns);
	printf("{\"rounds\": %" PRIu32 ", \"us\": %" PRIu64
	       ", \"all_rounds\": %" PRIu32 "}\n",
	       rounds, elapsed / 1000, rounds);
}

static void outputs(struct peer *peer, const char *path)
{
	FILE *file = fopen(path, "wb");

	run(peer);
	for (size_t i = 0; file && i < peer->outputs.count; i++)
		if (fwrite(peer->outputs.memory[i], 1, peer->outputs.size[i],
			   file) != peer->outputs.size[i])
			bench_fail("cannot write %s", path);
	if (!file || fclose(file))
		bench_fail("cannot write %s", path);
	puts("{}");
}

int main(int argc, char **argv)
{
	struct peer peer = { 0 };
	struct bench_words words = { 0 };
	bool accelerated = false;
	char options[128] = { 0 };
	uint8_t *input = NULL;
	size_t len = 0;
	char line[LINE_SIZE];

	if (argc != 5)
		bench_fail("usage: cml-bench-litert MODEL INPUT KERNELS "
			   "THREADS");
	/* Lines of TOML */
	snprintf(options, sizeof(options),
		 "kernel_mode = \"%.16s\"\nnum_threads = %u\n", argv[3],
		 (unsigned int)bench_number(argv[4], MAX_THREADS));
	compile(&peer, argv[1], options);
	make_buffers(&peer);
	input = bench_read(argv[2], &len);
	if (peer.inputs.count != 1 || peer.inputs.size[0] != len)
		bench_fail("%s is not this model's one input", argv[2]);
	memcpy(peer.inputs.memory[0], input, len);
	free(input);
	CHECK(LiteRtCompiledModelIsFullyAccelerated(peer.compiled,
						    &accelerated));
	/* The first run may still set things up. */
	run(&peer);

	printf("{\"fully_accelerated\": %s}\n", accelerated ? "true" : "false");
	while (bench_next(line, sizeof(line), &words)) {
		if (words.count == 2 && !strcmp(words.word[0], "network"))
			network(&peer, bench_number(words.word[1], MAX_MS) *
				       1000000);
		else if (words.count == 2 && !strcmp(words.word[0], "outputs"))
			outputs(&peer, words.word[1]);
		else
			bench_fail("no such command: %s, %zu words",
				   words.word[0], words.count);
	}

	return 0;
}

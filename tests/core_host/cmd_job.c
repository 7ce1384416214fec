// SPDX-License-Identifier: Apache-2.0
/*
 * A graph run by several threads. Payload (little endian):
 *
 * graph_job	u32 cpu, u32 helpers, u32 halts, u32 model length, model,
 *		all inputs
 *	->	u32 attempts, u32 tiles that helpers did, all outputs
 *
 * With @halts, one helper after another is stopped wherever it is, until the
 * owner has its outputs: as a normal world does that keeps a core to itself. The
 * owner begins anew in another arena.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver.h"
#include "driver_graph.h"
#include "nn/job.h"

#define MAX_HELPERS	8
#define MAX_ATTEMPTS	(MAX_HELPERS + 24)	/* others may be slow, too */
#define PATIENCE_US	3000

struct stage;

struct helper {
	struct stage *stage;
	pthread_t thread;
	uint64_t tiles;
	uint8_t *scratch;
};

/* What the board of the TA is. */
struct stage {
	const struct cml_graph *graph;
	const uint8_t *model;
	struct cml_job job;
	uint32_t first;			/* attempt, in arenas[0] */
	uint8_t *arenas[MAX_ATTEMPTS];
	_Atomic bool end;
	struct helper helpers[MAX_HELPERS];
};

static uint64_t microseconds(void *ctx)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);

	return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* For a signal's handler. */
static _Atomic bool go_on;

static void halt(int signal)
{
	struct timespec time = { .tv_nsec = 1000000 };

	while (!atomic_load(&go_on))
		nanosleep(&time, NULL);
}

static void *help(void *arg)
{
	struct helper *helper = arg;
	struct stage *stage = helper->stage;
	struct cml_worker worker = {
		.run = { .graph = stage->graph, .model = stage->model,
			 .scratch = helper->scratch },
		.clock = microseconds,
		.patience_us = PATIENCE_US,
	};

	while (!atomic_load(&stage->end)) {
		uint32_t attempt = cml_job_attempt(&stage->job);

		if (!attempt)
			continue;
		worker.run.arena = stage->arenas[attempt - stage->first];
		cml_job_work(&stage->job, attempt, &worker);
	}
	helper->tiles = worker.tiles;

	return NULL;
}

static void put_inputs(const struct cml_run *run, struct cml_bytes inputs)
{
	struct cml_cursor cur = cml_cursor(inputs);

	for (size_t i = 0; i < cml_graph_input_count(run->graph); i++) {
		size_t size = cml_graph_input(run->graph, i).size;
		struct cml_bytes bytes = cml_cursor_take(&cur, size);

		memcpy(cml_run_input(run, i), bytes.ptr, bytes.len);
	}
	if (!cml_cursor_ok(&cur) || cml_cursor_remaining(&cur))
		abort();
}

static void *disturb(void *arg)
{
	struct stage *stage = arg;
	struct timespec time = { 0 };
	unsigned int seed = 1;

	for (size_t i = 0; i < MAX_HELPERS; i++) {
		time.tv_nsec = rand_r(&seed) % 20000000;
		nanosleep(&time, NULL);
		if (!atomic_load(&stage->end))
			pthread_kill(stage->helpers[i].thread, SIGUSR1);
	}

	return NULL;
}

/* Returns how many attempts it took. */
static uint32_t own(struct stage *stage, struct cml_run *run,
		    struct cml_bytes inputs)
{
	struct cml_worker worker = {
		.clock = microseconds,
		.patience_us = PATIENCE_US,
	};
	uint32_t attempt = stage->first;

	for (uint32_t i = 0; i < MAX_ATTEMPTS; i++) {
		run->arena = stage->arenas[i];
		put_inputs(run, inputs);
		worker.run = *run;
		cml_job_open(&stage->job, attempt);
		if (cml_job_work(&stage->job, attempt, &worker) ==
		    CML_JOB_DONE) {
			cml_job_close(&stage->job);
			return i + 1;
		}
		attempt = cml_job_close(&stage->job);
	}
	abort();
}

static enum cml_status graph_job(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	const struct cml_allocator *allocator = driver_allocator();
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	uint32_t helpers = driver_u32(&cur);
	bool halts = driver_u32(&cur);
	struct cml_bytes file = cml_cursor_take(&cur, driver_u32(&cur));
	struct cml_bytes inputs = cml_cursor_take(&cur,
						  cml_cursor_remaining(&cur));
	uint8_t *model = driver_model(file);
	struct stage *stage = calloc(1, sizeof(*stage));
	struct sigaction action = { .sa_handler = halt };
	struct cml_graph *graph = NULL;
	enum cml_status status = CML_OK;
	struct cml_run runs[MAX_HELPERS + 1] = { 0 };
	uint8_t *first_arena = NULL;
	uint32_t attempts = 0;
	pthread_t disturber;
	uint64_t tiles = 0;

	if (!stage || helpers > MAX_HELPERS || (halts && helpers < MAX_HELPERS))
		abort();
	status = cml_graph_prepare(allocator, model, file.len, cpu, &graph,
				   NULL);
	if (status)
		abort();
	stage->graph = graph;
	stage->model = model;
	for (size_t i = 0; i <= helpers; i++)
		runs[i] = driver_run(graph, model);
	/* As many as there may be attempts: none is used twice. */
	for (size_t i = 0; i < MAX_ATTEMPTS; i++)
		stage->arenas[i] = allocator->alloc(allocator->ctx,
						cml_graph_arena_size(graph));
	stage->first = cml_job_close(&stage->job);
	atomic_store(&go_on, false);
	sigaction(SIGUSR1, &action, NULL);
	for (size_t i = 0; i < helpers; i++) {
		stage->helpers[i].stage = stage;
		stage->helpers[i].scratch = runs[i + 1].scratch;
		if (pthread_create(&stage->helpers[i].thread, NULL, help,
				   &stage->helpers[i]))
			abort();
	}
	if (halts && pthread_create(&disturber, NULL, disturb, stage))
		abort();

	first_arena = runs[0].arena;
	attempts = own(stage, &runs[0], inputs);
	driver_put_u32(reply, attempts);
	atomic_store(&stage->end, true);
	atomic_store(&go_on, true);
	if (halts)
		pthread_join(disturber, NULL);
	for (size_t i = 0; i < helpers; i++) {
		pthread_join(stage->helpers[i].thread, NULL);
		tiles += stage->helpers[i].tiles;
	}
	driver_put_u32(reply, tiles);
	for (size_t i = 0; i < cml_graph_output_count(graph); i++)
		driver_put(reply, cml_run_output(&runs[0], i),
			   cml_graph_output(graph, i).size);

	runs[0].arena = first_arena;
	for (size_t i = 0; i < MAX_ATTEMPTS; i++)
		allocator->release(allocator->ctx, stage->arenas[i],
				   cml_graph_arena_size(graph));
	for (size_t i = 0; i <= helpers; i++)
		driver_run_free(&runs[i]);
	cml_graph_free(allocator, graph);
	driver_model_free(model, file.len);
	free(stage);

	return CML_OK;
}

const struct driver_command driver_job_commands[] = {
	{ "graph_job", graph_job },
	{ NULL, NULL },
};

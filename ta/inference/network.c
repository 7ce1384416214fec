// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "network.h"

/*
 * How long one waits for another's tile. A core that the host took away for a
 * while is not to be mistaken for one that the normal world keeps.
 */
#define PATIENCE_US	250000
/* With others' help; then alone. */
#define ATTEMPTS	2

static enum cml_status open_arena(struct cml_secure_memory *memory,
				  const struct cml_graph *graph,
				  struct cml_shared *arena)
{
	TEE_Result res = cml_shared_create_new(memory,
					       cml_graph_arena_size(graph),
					       arena);

	return res ? CML_NO_MEMORY : CML_OK;
}

static void close_arena(struct cml_secure_memory *memory,
			struct cml_shared *arena)
{
	if (arena->ptr)
		cml_wipe(arena->ptr, arena->size);
	cml_shared_unmap(memory, arena);
}

enum cml_status cml_network_open(struct cml_secure_memory *memory,
				 const struct cml_model *model,
				 struct cml_network *network)
{
	const struct cml_allocator *allocator = &memory->allocator;
	const struct cml_graph *graph = cml_model_graph(model);
	enum cml_status status = CML_INTERNAL;

	status = open_arena(memory, graph, &network->arena);
	if (status)
		return status;
	network->run = (struct cml_run){
		.graph = graph,
		.model = model->data.ptr,
		.arena = network->arena.ptr,
	};
	network->scratch_size = cml_graph_scratch_size(graph);
	if (!network->scratch_size)
		return CML_OK;
	network->run.scratch = allocator->alloc(allocator->ctx,
						network->scratch_size);
	if (network->run.scratch)
		return CML_OK;
	cml_network_close(memory, network);

	return CML_NO_MEMORY;
}

void cml_network_close(struct cml_secure_memory *memory,
		       struct cml_network *network)
{
	const struct cml_allocator *allocator = &memory->allocator;

	allocator->release(allocator->ctx, network->run.scratch,
			   network->scratch_size);
	close_arena(memory, &network->arena);
	*network = (struct cml_network){ 0 };
}

/* The inputs, one after another, to @copy or from there. */
static size_t inputs_size(const struct cml_graph *graph)
{
	size_t size = 0;

	for (size_t i = 0; i < cml_graph_input_count(graph); i++)
		size += cml_graph_input(graph, i).size;

	return size;
}

static void save_inputs(const struct cml_run *run, uint8_t *copy)
{
	for (size_t i = 0; i < cml_graph_input_count(run->graph); i++) {
		size_t size = cml_graph_input(run->graph, i).size;

		memcpy(copy, cml_run_input(run, i), size);
		copy += size;
	}
}

static void restore_inputs(const struct cml_run *run, const uint8_t *copy)
{
	for (size_t i = 0; i < cml_graph_input_count(run->graph); i++) {
		size_t size = cml_graph_input(run->graph, i).size;

		memcpy(cml_run_input(run, i), copy, size);
		copy += size;
	}
}

/* Where nobody is who might still write. */
static enum cml_status change_arena(struct cml_secure_memory *memory,
				    struct cml_network *network,
				    const uint8_t *inputs)
{
	struct cml_shared arena = { 0 };
	enum cml_status status = open_arena(memory, network->run.graph,
					    &arena);

	if (status)
		return status;
	close_arena(memory, &network->arena);
	network->arena = arena;
	network->run.arena = arena.ptr;
	restore_inputs(&network->run, inputs);

	return CML_OK;
}

static enum cml_status run_together(struct cml_secure_memory *memory,
				    struct cml_slot *slot, uint32_t attempt,
				    struct cml_network *network,
				    const uint8_t *inputs, cml_clock clock)
{
	struct cml_worker worker = {
		.clock = clock,
		.patience_us = PATIENCE_US,
	};
	enum cml_status status = CML_OK;

	for (size_t i = 0; i < ATTEMPTS; i++) {
		worker.run = network->run;
		cml_job_open(&slot->job, attempt);
		if (cml_job_work(&slot->job, attempt, &worker) == CML_JOB_DONE)
			return CML_OK;
		IMSG("a worker is late: the network begins anew");
		/* Closed before the arena is let go. */
		cml_job_close(&slot->job);
		status = change_arena(memory, network, inputs);
		if (status)
			return status;
		attempt = cml_board_retry(slot, network->arena.name);
	}
	cml_graph_run(&network->run);

	return CML_OK;
}

enum cml_status cml_network_run(struct cml_secure_memory *memory,
				struct cml_board *board,
				const struct cml_model *model,
				struct cml_network *network, cml_clock clock)
{
	const struct cml_allocator *allocator = &memory->allocator;
	size_t size = inputs_size(network->run.graph);
	enum cml_status status = CML_OK;
	struct cml_slot *slot = NULL;
	uint8_t *inputs = NULL;
	uint32_t attempt = 0;

	if (board)
		inputs = allocator->alloc(allocator->ctx, size);
	if (inputs)
		slot = cml_board_take(memory, board, network->arena.name,
				      model->graph.name, &attempt);
	if (slot) {
		save_inputs(&network->run, inputs);
		status = run_together(memory, slot, attempt, network, inputs,
				      clock);
		cml_board_leave(slot);
	} else {
		cml_graph_run(&network->run);
	}
	allocator->release(allocator->ctx, inputs, size);

	return status;
}

void cml_helper_drop(struct cml_secure_memory *memory,
		     struct cml_helper *helper)
{
	const struct cml_allocator *allocator = &memory->allocator;

	allocator->release(allocator->ctx, helper->scratch,
			   helper->scratch_size);
	cml_model_drop(memory, &helper->model);
	*helper = (struct cml_helper){ 0 };
}

/* The model stays from one job to the next. */
static bool has_model(struct cml_secure_memory *memory,
		      struct cml_helper *helper, uint64_t name)
{
	const struct cml_allocator *allocator = &memory->allocator;

	if (cml_model_is_ready(&helper->model) &&
	    helper->model.graph.name == name)
		return true;
	cml_helper_drop(memory, helper);
	if (cml_model_map(memory, name, &helper->model))
		return false;
	helper->scratch_size =
		cml_graph_scratch_size(cml_model_graph(&helper->model));
	if (!helper->scratch_size)
		return true;
	helper->scratch = allocator->alloc(allocator->ctx,
					   helper->scratch_size);
	if (!helper->scratch)
		cml_helper_drop(memory, helper);

	return helper->scratch;
}

uint64_t cml_helper_work(struct cml_secure_memory *memory,
			 struct cml_helper *helper,
			 const struct cml_offer *offer, cml_clock clock)
{
	struct cml_worker worker = {
		.clock = clock,
		.patience_us = PATIENCE_US,
	};
	struct cml_shared arena = { 0 };

	if (!has_model(memory, helper, offer->model) ||
	    cml_shared_map(memory, offer->arena, &arena))
		return 0;
	worker.run = (struct cml_run){
		.graph = cml_model_graph(&helper->model),
		.model = helper->model.data.ptr,
		.arena = arena.ptr,
		.scratch = helper->scratch,
	};
	cml_job_work(&offer->slot->job, offer->attempt, &worker);
	cml_shared_unmap(memory, &arena);

	return worker.tiles;
}

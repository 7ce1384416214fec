// SPDX-License-Identifier: Apache-2.0
/*
 * What a request takes, step by step as ta/inference/cmd_infer.c and network.c
 * do it: the same blocks, taken and given back in the same order.
 */
#include <stdlib.h>

#include "report.h"
#include "tensors.h"

struct request {
	struct account *account;
	const struct cml_allocator *allocator;
	struct cml_run run;
	size_t scratch_size;
	struct cml_inference *inference;	/* NULL: tensors */
	void *stream;
};

static uint64_t no_clock(void *ctx)
{
	(void)ctx;

	return 0;
}

static void *take(const struct request *request, size_t size)
{
	return request->allocator->alloc(request->allocator->ctx, size);
}

static void give(const struct request *request, void *block, size_t size)
{
	request->allocator->release(request->allocator->ctx, block, size);
}

static bool open_network(struct request *request,
			 const struct cml_graph *graph)
{
	size_t size = account_pages(cml_graph_arena_size(graph));

	/* There is none without a byte. */
	if (!size || !account_share(request->account, size))
		return false;
	request->run.graph = graph;
	request->run.arena = aligned_alloc(CML_MEMORY_ALIGN, size);
	/* The host's own memory: not what is being asked about. */
	if (!request->run.arena)
		abort();
	request->scratch_size = cml_graph_scratch_size(graph);
	if (request->scratch_size)
		request->run.scratch = take(request, request->scratch_size);

	return !request->scratch_size || request->run.scratch;
}

static void drop_request(struct request *request)
{
	give(request, request->stream, STREAM_SIZE);
	request->stream = NULL;
	cml_inference_free(request->inference);
	request->inference = NULL;
	give(request, request->run.scratch, request->scratch_size);
	if (request->run.arena)
		account_unshare(request->account,
				cml_graph_arena_size(request->run.graph));
	free(request->run.arena);
	request->run = (struct cml_run){ 0 };
}

/* All that comes before the network runs. */
static bool begin(struct request *request, const struct cml_graph *graph,
		  struct cml_detector *detector, struct cml_bytes headers)
{
	if (!open_network(request, graph))
		return false;
	if (detector && cml_inference_new(request->allocator, detector,
					  &request->run, 0, no_clock, NULL,
					  &request->inference))
		return false;
	request->stream = take(request, STREAM_SIZE);

	return request->stream &&
	       (!detector || !cml_inference_push(request->inference, headers));
}

/* To the sealed result, which has taken the network's place. */
static bool finish(struct request *request, size_t plain_size)
{
	size_t inputs_size = cml_tensors_input_size(request->run.graph);
	struct cml_result *result = take(request, sizeof(*result));
	size_t sealed_size = plain_size + CML_RESULT_SEAL_SIZE;
	void *plain = NULL;
	void *sealed = NULL;
	bool fits = false;

	if (result)
		plain = take(request, plain_size);
	if (plain) {
		/* Drops the decoder: the photo has headers only. */
		if (request->inference)
			cml_inference_decode(request->inference);
		/* To begin anew; without it the session works alone. */
		give(request, take(request, inputs_size), inputs_size);
		drop_request(request);
		sealed = take(request, sealed_size);
	}
	fits = sealed;
	give(request, sealed, sealed_size);
	give(request, plain, plain_size);
	give(request, result, sizeof(*result));

	return fits;
}

size_t request_peak(struct account *account, const struct cml_graph *graph,
		    struct cml_detector *detector, struct cml_bytes headers)
{
	size_t plain_size = CML_RESULT_MAX_SIZE - CML_RESULT_SEAL_SIZE;
	struct request request = {
		.account = account,
		.allocator = &account->allocator,
	};
	bool fits = detector || !cml_tensors_result_size(graph, &plain_size);

	account->peak = account->used;
	fits = fits && begin(&request, graph, detector, headers) &&
	       finish(&request, plain_size);
	drop_request(&request);

	return fits ? account->peak : 0;
}

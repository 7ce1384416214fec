// SPDX-License-Identifier: Apache-2.0
#include "job.h"

/*
 * Both words: 28 bits of attempt, 12 of operator, 24 of tiles. `next` of a
 * closed attempt has operator CLOSED.
 */
#define OP_BITS		12
#define TILE_BITS	24
#define CLOSED		((UINT32_C(1) << OP_BITS) - 1)
/* Looks at a word between two at the clock, which is a system call. */
#define LOOKS		256

_Static_assert(CML_GRAPH_MAX_OPS < CLOSED, "operators do not fit");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics need a lock");

struct place {
	uint32_t attempt, op, tile;
};

static uint64_t pack(struct place place)
{
	return (uint64_t)place.attempt << (OP_BITS + TILE_BITS) |
	       (uint64_t)place.op << TILE_BITS | place.tile;
}

static struct place unpack(uint64_t word)
{
	return (struct place){
		.attempt = word >> (OP_BITS + TILE_BITS),
		.op = word >> TILE_BITS & CLOSED,
		.tile = word & ((UINT32_C(1) << TILE_BITS) - 1),
	};
}

uint32_t cml_job_close(struct cml_job *job)
{
	uint32_t attempt = unpack(atomic_load(&job->next)).attempt;

	attempt = attempt < CML_JOB_MAX_ATTEMPT ? attempt + 1 : 1;
	atomic_store(&job->next, pack((struct place){
		.attempt = attempt, .op = CLOSED,
	}));
	/* From now on nobody's tile of before is counted. */
	atomic_store(&job->done, pack((struct place){ .attempt = attempt }));

	return attempt;
}

void cml_job_open(struct cml_job *job, uint32_t attempt)
{
	atomic_store(&job->next, pack((struct place){ .attempt = attempt }));
}

uint32_t cml_job_attempt(const struct cml_job *job)
{
	struct place next = unpack(atomic_load(&job->next));

	return next.op == CLOSED ? 0 : next.attempt;
}

/*
 * All tiles of @next's operator are taken. Opens the one after it if all of them
 * are done, too. Any number of workers may try, once it counts; one that stops
 * halfway is helped on by the others.
 */
static void advance(struct cml_job *job, uint64_t next, uint32_t tiles)
{
	uint64_t done = atomic_load(&job->done);
	struct place place = unpack(done);

	if (place.attempt != unpack(next).attempt)
		return;
	if (place.op == unpack(next).op) {
		if (place.tile < tiles)
			return;
		place.op++;
		place.tile = 0;
		/* Goes first: whoever takes a tile finds its count at 0. */
		atomic_compare_exchange_strong(&job->done, &done, pack(place));
	}
	atomic_compare_exchange_strong(&job->next, &next, pack(place));
}

/* One more tile of @place's operator is done, if that is still of interest. */
static void count(struct cml_job *job, struct place place)
{
	uint64_t word = atomic_load(&job->done);
	struct place done = unpack(word);

	while (done.attempt == place.attempt && done.op == place.op) {
		done.tile++;
		if (atomic_compare_exchange_weak(&job->done, &word,
						 pack(done)))
			return;
		done = unpack(word);
	}
}

static uint64_t now(const struct cml_worker *worker)
{
	return worker->clock(worker->clock_ctx);
}

/*
 * All tiles of @next's operator are taken. Waits until there are others: false
 * when that took too long. @begin: when the worker began.
 */
static bool wait(struct cml_job *job, uint64_t next, uint64_t begin,
		 const struct cml_worker *worker)
{
	uint32_t tiles = cml_graph_tile_count(worker->run.graph,
					      unpack(next).op);
	uint64_t before = 0;
	uint64_t since = 0;
	uint64_t limit = 0;

	for (uint32_t looks = 1; atomic_load(&job->next) == next; looks++) {
		uint64_t done = atomic_load(&job->done);

		advance(job, next, tiles);
		if (looks % LOOKS)
			continue;
		if (done != before) {
			before = done;
			since = now(worker);
			limit = since - begin;
			if (limit < worker->patience_us)
				limit = worker->patience_us;
		} else if (now(worker) - since > limit) {
			return false;
		}
	}

	return true;
}

enum cml_job_end cml_job_work(struct cml_job *job, uint32_t attempt,
			      struct cml_worker *worker)
{
	const struct cml_graph *graph = worker->run.graph;
	uint64_t begin = now(worker);

	for (;;) {
		uint64_t word = atomic_load(&job->next);
		struct place next = unpack(word);

		if (next.attempt != attempt || next.op == CLOSED)
			return CML_JOB_GONE;
		if (next.op == cml_graph_op_count(graph))
			return CML_JOB_DONE;
		if (next.tile == cml_graph_tile_count(graph, next.op)) {
			if (!wait(job, word, begin, worker))
				return CML_JOB_LATE;
			continue;
		}
		if (!atomic_compare_exchange_weak(&job->next, &word, word + 1))
			continue;
		cml_graph_run_tile(&worker->run, next.op, next.tile);
		worker->tiles++;
		count(job, next);
	}
}

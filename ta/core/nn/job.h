// SPDX-License-Identifier: Apache-2.0
/*
 * One run of a graph by several workers at once.
 *
 * A job lies in memory that all workers map. It says which tile is next and
 * how many of the operator's tiles are done; who finishes the last one opens
 * the next operator. There is no lock: a worker that stops anywhere, for good,
 * holds up nobody but by the tile that it took.
 *
 * For that one there is the number of the job's attempt. The owner who has
 * waited in vain begins another attempt, in another arena: the worker that
 * comes back late finds that its tile is not wanted any more, and what it wrote
 * is in an arena that nobody reads.
 */
#ifndef CML_JOB_H
#define CML_JOB_H

#include <stdatomic.h>

#include "graph.h"
#include "measure.h"

/* Of no attempt when it is all zeros: nothing to do. */
struct cml_job {
	_Atomic uint64_t next;	/* attempt, operator, tile */
	_Atomic uint64_t done;	/* attempt, operator, tiles that are done */
};

/* 1 to CML_JOB_MAX_ATTEMPT, then 1 again: the same after a long time only. */
#define CML_JOB_MAX_ATTEMPT	((UINT32_C(1) << 28) - 1)

/*
 * Closes the attempt that was: no worker gets a tile of it any more. Returns
 * the number of the next, which cml_job_open() opens. The owner's.
 */
uint32_t cml_job_close(struct cml_job *job);
void cml_job_open(struct cml_job *job, uint32_t attempt);
/* The attempt that is open, 0: none. */
uint32_t cml_job_attempt(const struct cml_job *job);

enum cml_job_end {
	CML_JOB_DONE,	/* all operators have run: outputs can be read */
	CML_JOB_GONE,	/* this attempt is closed */
	CML_JOB_LATE,	/* nobody finished a tile for too long */
};

struct cml_worker {
	struct cml_run run;	/* where the graph lies for this worker */
	cml_clock clock;
	void *clock_ctx;
	uint64_t patience_us;	/* without progress: see cml_job_work() */
	uint64_t tiles;		/* that it ran */
};

/*
 * Takes tiles of @attempt until it ends. Waits for those of others until there
 * was no progress for patience_us, or for as long as the worker has been at it
 * already, if that is more.
 */
enum cml_job_end cml_job_work(struct cml_job *job, uint32_t attempt,
			      struct cml_worker *worker);

#endif /* CML_JOB_H */

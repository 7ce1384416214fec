// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "names.h"
#include "tee_client.h"
#include "workers.h"

/* How long a helper looks for work before it is asked whether to go on. */
#define LOOK_MS		10
/* How long a helper keeps the model after its last photo. */
#define KEEP_MS		1000
/* How long it does not try again after the TEE refused. */
#define PAUSE_MS	1000
/* How long one that works is waited for; a tile takes some milliseconds. */
#define LEAVE_MS	5000
/*
 * How many sessions are opened at a time: meanwhile OP-TEE has a copy of the
 * TA's file in secure memory for each. Two are less than a photo takes.
 */
#define OPENING_MAX	2

struct worker {
	struct workers *workers;
	pthread_t thread;
	bool started;
	unsigned int core;
	unsigned int photos;		/* that run on this core */
	/* Of its thread alone, while that holds `busy`: */
	bool busy;
	struct tee_session *tee;	/* NULL: not opened */
	bool has_model;
	int64_t pause_until_ms;
};

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int wanted;		/* helpers, by all photos */
	unsigned int helping;
	unsigned int opening;
	bool prepare, end;
	size_t spare;			/* for whom they prepare */
	unsigned int count;
	struct worker workers[];
};

static int64_t now_ms(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);

	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What follows holds the lock. */

/* Waits for a change, at most @ms milliseconds; 0: for ever. */
static void wait_change(struct workers *workers, int64_t ms)
{
	struct timespec until = { 0 };

	if (!ms) {
		pthread_cond_wait(&workers->changed, &workers->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&workers->changed, &workers->lock, &until);
}

/* Lets go of the lock for a call of the TEE. */
static void enter(struct worker *worker)
{
	worker->busy = true;
	pthread_mutex_unlock(&worker->workers->lock);
}

static void leave(struct worker *worker)
{
	pthread_mutex_lock(&worker->workers->lock);
	worker->busy = false;
	pthread_cond_broadcast(&worker->workers->changed);
}

static void fail(struct worker *worker, const struct tee_error *error)
{
	/* The next photo asks again, if one comes. */
	worker->workers->prepare = false;
	worker->pause_until_ms = now_ms() + PAUSE_MS;
	fprintf(stderr, "cml-ca: helper on core %u: %s: %s\n", worker->core,
		error->command, result_name(error->code));
}

static void open_session(struct worker *worker)
{
	struct tee_session *tee = NULL;
	struct tee_error error = { 0 };
	size_t spare = worker->workers->prepare ? worker->workers->spare : 0;
	bool opened = false;

	worker->workers->opening++;
	enter(worker);
	opened = tee_session_open(&tee, spare, &error);
	leave(worker);
	worker->workers->opening--;
	if (opened)
		worker->tee = tee;
	else
		fail(worker, &error);
}

static void close_session(struct worker *worker)
{
	struct tee_session *tee = worker->tee;

	worker->tee = NULL;
	worker->has_model = false;
	tee_session_close(tee);
}

static void look_for_work(struct worker *worker, uint32_t ms)
{
	struct tee_error error = { 0 };
	uint32_t tiles = 0;
	bool worked = false;

	enter(worker);
	worked = tee_work(worker->tee, ms, worker->core, &tiles, &error);
	leave(worker);
	worker->has_model = worked && tiles;
	if (!worked) {
		fail(worker, &error);
		close_session(worker);
	}
}

static bool may_help(const struct worker *worker)
{
	const struct workers *workers = worker->workers;

	return !worker->photos && workers->helping < workers->wanted;
}

static void step(struct worker *worker)
{
	struct workers *workers = worker->workers;
	int64_t pause = worker->pause_until_ms - now_ms();

	if (pause > 0) {
		wait_change(workers, pause);
	} else if (!worker->tee && workers->opening < OPENING_MAX &&
		   (workers->prepare || may_help(worker))) {
		open_session(worker);
	} else if (worker->tee && may_help(worker)) {
		workers->helping++;
		look_for_work(worker, LOOK_MS);
		workers->helping--;
	} else if (worker->has_model && !workers->wanted) {
		wait_change(workers, KEEP_MS);
		if (worker->has_model && !workers->wanted)
			look_for_work(worker, 0);
	} else {
		wait_change(workers, 0);
	}
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	struct workers *workers = worker->workers;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(worker->core, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);

	pthread_mutex_lock(&workers->lock);
	while (!workers->end)
		step(worker);
	if (worker->tee)
		close_session(worker);
	pthread_mutex_unlock(&workers->lock);

	return NULL;
}

/* And these take the lock. */

struct workers *workers_new(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int count = cores > 0 ? cores : 1;
	struct workers *workers = NULL;
	pthread_condattr_t attr;

	workers = calloc(1, sizeof(*workers) +
			 count * sizeof(workers->workers[0]));
	if (!workers)
		return NULL;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&workers->changed, &attr);
	pthread_condattr_destroy(&attr);
	workers->count = count;
	/* Alone on its core, nobody ever helps. */
	for (unsigned int i = 0; count > 1 && i < count; i++) {
		struct worker *worker = &workers->workers[i];

		worker->workers = workers;
		worker->core = i;
		worker->started = !pthread_create(&worker->thread, NULL,
						  worker_thread, worker);
	}

	return workers;
}

void workers_free(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	workers->end = true;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned int i = 0; i < workers->count; i++)
		if (workers->workers[i].started)
			pthread_join(workers->workers[i].thread, NULL);
	pthread_cond_destroy(&workers->changed);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

unsigned int workers_core_count(const struct workers *workers)
{
	return workers->count;
}

static void change(struct workers *workers, unsigned int core, int photos,
		   unsigned int limit)
{
	unsigned int cores = limit && limit < workers->count ? limit :
			     workers->count;

	pthread_mutex_lock(&workers->lock);
	workers->workers[core].photos += photos;
	workers->wanted += photos * (int)(cores - 1);
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

void workers_begin(struct workers *workers, unsigned int core,
		   unsigned int limit)
{
	change(workers, core, 1, limit);
}

void workers_end(struct workers *workers, unsigned int core,
		 unsigned int limit)
{
	change(workers, core, -1, limit);
}

void workers_prepare(struct workers *workers, size_t spare)
{
	pthread_mutex_lock(&workers->lock);
	workers->prepare = true;
	workers->spare = spare;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

/* Some have no session yet, and will have one. */
static bool prepares(const struct workers *workers)
{
	const int64_t now = now_ms();

	for (unsigned int i = 0; i < workers->count; i++) {
		const struct worker *worker = &workers->workers[i];

		if (worker->started && !worker->tee &&
		    (worker->busy || worker->pause_until_ms <= now))
			return workers->prepare;
	}

	return false;
}

void workers_wait_prepared(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	while (prepares(workers))
		wait_change(workers, 0);
	/* Sessions stay open; whoever has none opens it for a photo. */
	workers->prepare = false;
	pthread_mutex_unlock(&workers->lock);
}

bool workers_make_room(struct workers *workers)
{
	const int64_t limit = now_ms() + LEAVE_MS;
	bool closed = false;

	pthread_mutex_lock(&workers->lock);
	workers->prepare = false;
	for (unsigned int i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->workers[i];

		worker->pause_until_ms = limit;
		while (worker->busy && now_ms() < limit)
			wait_change(workers, limit - now_ms());
		worker->pause_until_ms = now_ms() + PAUSE_MS;
		if (worker->busy || !worker->tee)
			continue;
		close_session(worker);
		closed = true;
	}
	pthread_mutex_unlock(&workers->lock);

	return closed;
}

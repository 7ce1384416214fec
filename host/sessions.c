// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sessions.h"

struct entry {
	struct named_session session;
	bool held;
	uint64_t last_used;	/* ticks of sessions.clock */
	struct entry *next;
};

struct sessions {
	pthread_mutex_t lock;
	pthread_cond_t released;
	struct entry *entries;
	size_t count;
	uint64_t clock;
	struct workers *workers;
	unsigned int next_core;
};

struct sessions *sessions_new(struct workers *workers)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));
	pthread_condattr_t attr;

	if (!sessions)
		return NULL;
	pthread_mutex_init(&sessions->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&sessions->released, &attr);
	pthread_condattr_destroy(&attr);
	sessions->workers = workers;

	return sessions;
}

static void entry_free(struct entry *entry)
{
	tee_session_close(entry->session.tee);
	free(entry);
}

void sessions_free(struct sessions *sessions)
{
	struct entry *next = NULL;

	for (struct entry *e = sessions->entries; e; e = next) {
		next = e->next;
		entry_free(e);
	}
	pthread_cond_destroy(&sessions->released);
	pthread_mutex_destroy(&sessions->lock);
	free(sessions);
}

/* What follows works on the table and holds its lock. */

static struct entry *find(struct sessions *sessions, const char *name)
{
	for (struct entry *e = sessions->entries; e; e = e->next)
		if (!strcmp(e->session.name, name))
			return e;

	return NULL;
}

static void add(struct sessions *sessions, struct entry *entry)
{
	entry->next = sessions->entries;
	sessions->entries = entry;
	sessions->count++;
}

static void take_out(struct sessions *sessions, struct entry *entry)
{
	struct entry **link = &sessions->entries;

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	sessions->count--;
	pthread_cond_broadcast(&sessions->released);
}

static struct entry *take_out_idle(struct sessions *sessions)
{
	struct entry *oldest = NULL;

	for (struct entry *e = sessions->entries; e; e = e->next)
		if (!e->held && (!oldest || e->last_used < oldest->last_used))
			oldest = e;
	if (oldest)
		take_out(sessions, oldest);

	return oldest;
}

/* Waits until nobody holds the session of this name; NULL when it is gone. */
static bool wait_for(struct sessions *sessions, const char *name,
		     struct entry **entry)
{
	struct timespec deadline = { 0 };
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += SESSION_WAIT_S;
	*entry = find(sessions, name);
	while (*entry && (*entry)->held && error != ETIMEDOUT) {
		error = pthread_cond_timedwait(&sessions->released,
					       &sessions->lock, &deadline);
		*entry = find(sessions, name);
	}

	return !*entry || !(*entry)->held;
}

/* And these take the lock. */

bool sessions_make_room(struct sessions *sessions)
{
	struct entry *entry = NULL;

	if (workers_make_room(sessions->workers))
		return true;
	pthread_mutex_lock(&sessions->lock);
	entry = take_out_idle(sessions);
	pthread_mutex_unlock(&sessions->lock);
	if (!entry)
		return false;
	entry_free(entry);

	return true;
}

/*
 * Opens the TA's session for an entry that is in the table already, held, so
 * that others who want this name wait for it.
 */
static bool open_entry(struct sessions *sessions, struct entry *entry,
		       struct tee_error *error)
{
	bool opened = false;

	do {
		opened = tee_session_open(&entry->session.tee, 0, error);
	} while (!opened && tee_error_is_memory(error) &&
		 sessions_make_room(sessions));
	if (opened)
		return true;

	pthread_mutex_lock(&sessions->lock);
	take_out(sessions, entry);
	pthread_mutex_unlock(&sessions->lock);
	entry_free(entry);

	return false;
}

enum sessions_result sessions_attach(struct sessions *sessions,
				     const char *name,
				     struct named_session **session,
				     struct tee_error *error)
{
	struct entry *entry = NULL;
	struct entry *idle = NULL;

	pthread_mutex_lock(&sessions->lock);
	if (!wait_for(sessions, name, &entry)) {
		pthread_mutex_unlock(&sessions->lock);
		return SESSIONS_BUSY;
	}
	if (entry) {
		entry->held = true;
		entry->session.fresh = false;
		pthread_mutex_unlock(&sessions->lock);
		*session = &entry->session;
		return SESSIONS_OK;
	}
	if (sessions->count == SESSIONS_MAX_COUNT)
		idle = take_out_idle(sessions);
	if (sessions->count < SESSIONS_MAX_COUNT)
		entry = calloc(1, sizeof(*entry));
	if (!entry) {
		pthread_mutex_unlock(&sessions->lock);
		if (idle)
			entry_free(idle);
		return SESSIONS_FULL;
	}
	strcpy(entry->session.name, name);
	entry->session.core = sessions->next_core;
	entry->session.fresh = true;
	entry->held = true;
	sessions->next_core = (sessions->next_core + 1) %
			      workers_core_count(sessions->workers);
	add(sessions, entry);
	pthread_mutex_unlock(&sessions->lock);
	if (idle)
		entry_free(idle);

	if (!open_entry(sessions, entry, error))
		return SESSIONS_TEE;
	*session = &entry->session;

	return SESSIONS_OK;
}

static struct entry *entry_of(struct sessions *sessions,
			      const struct named_session *session)
{
	struct entry *entry = sessions->entries;

	while (&entry->session != session)
		entry = entry->next;

	return entry;
}

void sessions_detach(struct sessions *sessions, struct named_session *session)
{
	struct entry *entry = NULL;

	pthread_mutex_lock(&sessions->lock);
	entry = entry_of(sessions, session);
	entry->held = false;
	entry->last_used = ++sessions->clock;
	pthread_cond_broadcast(&sessions->released);
	pthread_mutex_unlock(&sessions->lock);
}

void sessions_close(struct sessions *sessions, struct named_session *session)
{
	struct entry *entry = NULL;

	pthread_mutex_lock(&sessions->lock);
	entry = entry_of(sessions, session);
	take_out(sessions, entry);
	pthread_mutex_unlock(&sessions->lock);
	entry_free(entry);
}

enum sessions_result sessions_close_name(struct sessions *sessions,
					 const char *name)
{
	struct entry *entry = NULL;
	bool idle = false;

	pthread_mutex_lock(&sessions->lock);
	idle = wait_for(sessions, name, &entry);
	if (idle && entry)
		take_out(sessions, entry);
	pthread_mutex_unlock(&sessions->lock);
	if (!idle)
		return SESSIONS_BUSY;
	if (entry)
		entry_free(entry);

	return SESSIONS_OK;
}

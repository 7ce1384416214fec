// SPDX-License-Identifier: Apache-2.0
/*
 * Named TA sessions that outlive the connections which use them. One
 * connection at a time holds a session; idle ones keep their keys and model
 * until secure memory is wanted.
 */
#ifndef CML_SESSIONS_H
#define CML_SESSIONS_H

#include "tee_client.h"
#include "workers.h"

#define SESSION_NAME_MAX_LEN	63
#define SESSIONS_MAX_COUNT	64
/* How long attach waits for a session that another connection holds. */
#define SESSION_WAIT_S		60

struct sessions;

struct named_session {
	char name[SESSION_NAME_MAX_LEN + 1];
	struct tee_session *tee;
	unsigned int core;	/* on which its holder's thread runs */
	bool fresh;		/* was opened for this attach */
};

enum sessions_result {
	SESSIONS_OK,
	SESSIONS_BUSY,		/* held by another connection for too long */
	SESSIONS_FULL,		/* too many, and none is idle */
	SESSIONS_TEE,		/* the TEE refused: see the error */
};

/* @workers stay with the caller, for as long. */
struct sessions *sessions_new(struct workers *workers);
void sessions_free(struct sessions *sessions);	/* nobody holds one any more */

/* The session of this name, opened if there is none. The caller holds it. */
enum sessions_result sessions_attach(struct sessions *sessions,
				     const char *name,
				     struct named_session **session,
				     struct tee_error *error);
/* The caller holds @session no more. */
void sessions_detach(struct sessions *sessions, struct named_session *session);
/* The same, and the TA's session is closed. */
void sessions_close(struct sessions *sessions, struct named_session *session);
/* Closes the session of this name, if there is one. SESSIONS_OK or _BUSY. */
enum sessions_result sessions_close_name(struct sessions *sessions,
					 const char *name);
/*
 * Makes room in secure memory: closes helpers' sessions, or else the one that is
 * idle longest. False: there is nothing to close.
 */
bool sessions_make_room(struct sessions *sessions);

#endif /* CML_SESSIONS_H */

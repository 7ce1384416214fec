// SPDX-License-Identifier: Apache-2.0
/*
 * The TA's own key pairs, and the numbers of its results.
 *
 * A key is derived from the device's root key, from this very code, and from a
 * random salt in a sealed record (sealed_store.h), which is drawn at the first
 * use and at each rotation. All sessions have the same keys: whenever one is
 * asked for, the record is read, and to sign a result it is read anew when the
 * board says that a key was rotated since. Without its record, a key is gone; whoever
 * deletes it rotates both keys. The numbers are in the record too: if they begin
 * anew, it is under another signing key.
 */
#ifndef CML_IDENTITY_H
#define CML_IDENTITY_H

#include "board.h"
#include "cose_key.h"
#include "keys.h"
#include "sealed_store.h"

enum cml_identity_key {
	CML_IDENTITY_WRAPPING = 1,	/* owners wrap their keys to it */
	CML_IDENTITY_SIGNING = 2,	/* it signs results */
};

#define CML_IDENTITY_KEY_COUNT	2
#define CML_SALT_SIZE		32

struct cml_own_key {
	struct cml_p256_key *key;	/* NULL until first used */
	uint8_t point[CML_P256_POINT_SIZE];
	uint8_t kid[CML_THUMBPRINT_SIZE];
	uint8_t salt[CML_SALT_SIZE];	/* that it was derived with */
};

struct cml_identity {
	struct cml_sealing *sealing;	/* the session's */
	struct cml_own_key keys[CML_IDENTITY_KEY_COUNT];
	/* This session's block of numbers; equal: it is used up. */
	uint64_t next, end;
	uint8_t numbers_salt[CML_SALT_SIZE];	/* of their signing key */
	uint64_t rotated;	/* what the board said before they were taken */
};

/* "wrapping" */
const char *cml_identity_label(enum cml_identity_key which);

/*
 * The key pair as it is now; those of earlier calls are no longer valid. All may
 * say CML_STORAGE, CML_STORAGE_DAMAGED, CML_NO_MEMORY.
 */
enum cml_status cml_identity_get(struct cml_identity *identity,
				 enum cml_identity_key which,
				 const struct cml_own_key **key);
/* Both, of one moment. */
enum cml_status cml_identity_get_both(struct cml_identity *identity,
				      const struct cml_own_key **wrapping,
				      const struct cml_own_key **signing);
/*
 * A number that no other result has, to be signed by *@signer: no session and no
 * boot has it again with this key. Numbers rise in a session; some are left out,
 * because a session takes them by the block. @board: NULL reads the record.
 */
enum cml_status cml_identity_number(struct cml_identity *identity,
				    const struct cml_board *board,
				    uint64_t *number,
				    const struct cml_own_key **signer);
/*
 * From now on another key pair has this name, in all sessions; what was wrapped
 * to the old one opens nowhere. @generation: how often that was done. @board:
 * NULL is CML_NO_MEMORY, for other sessions would not hear of it.
 */
enum cml_status cml_identity_rotate(struct cml_identity *identity,
				    struct cml_board *board,
				    enum cml_identity_key which,
				    uint64_t *generation);
void cml_identity_free(struct cml_identity *identity);

#endif /* CML_IDENTITY_H */

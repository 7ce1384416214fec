// SPDX-License-Identifier: Apache-2.0
/*
 * A session with the inference TA: the only user of TEEC_*. Each has a buffer
 * that is shared with the TA; what goes in and out passes through it.
 */
#ifndef CML_TEE_CLIENT_H
#define CML_TEE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tee_error {
	uint32_t code;		/* TEE_Result */
	uint32_t origin;
	const char *command;	/* "INFER_PUSH", "OPEN_SESSION" */
};

struct tee_session;

/* All return false and fill @error when they fail. */
/*
 * TEEC_ERROR_OUT_OF_MEMORY, too, where secure memory would not be left for
 * @spare bytes more.
 */
bool tee_session_open(struct tee_session **session, size_t spare,
		      struct tee_error *error);
void tee_session_close(struct tee_session *session);	/* NULL allowed */

uint8_t *tee_session_buffer(struct tee_session *session);
size_t tee_session_buffer_size(void);

/* A command that takes and gives nothing. */
bool tee_command(struct tee_session *session, uint32_t command,
		 struct tee_error *error);
/* A command with the first @len bytes of the buffer going in. */
bool tee_put(struct tee_session *session, uint32_t command, size_t len,
	     struct tee_error *error);
/* A command whose answer comes into the buffer, of *@len bytes then. */
bool tee_get(struct tee_session *session, uint32_t command, size_t *len,
	     struct tee_error *error);
/*
 * PROVISION_KEY with the first @len bytes of the buffer. The next challenge,
 * TA_CML_CHALLENGE_SIZE bytes, comes into it.
 */
bool tee_provision_key(struct tee_session *session, uint32_t slot, size_t len,
		       struct tee_error *error);
/*
 * RESULT, of @len bytes as INFER_FINISH said: valid until the next call of this,
 * or the end of the session. NULL on failure.
 */
const uint8_t *tee_result(struct tee_session *session, uint32_t len,
			  struct tee_error *error);
/* INFER_FINISH. */
bool tee_infer_finish(struct tee_session *session, uint32_t *result_len,
		      struct tee_error *error);

/*
 * MODEL_USE with the first TA_CML_MODEL_SOURCE_SIZE bytes of the buffer; the
 * answer comes into it.
 */
bool tee_model_use(struct tee_session *session, size_t *len,
		   struct tee_error *error);
/*
 * ATTEST with the first @len bytes of the buffer as nonce; the token comes into
 * it, of *@len bytes then.
 */
bool tee_attest(struct tee_session *session, size_t *len,
		struct tee_error *error);
/* OWN_KEY or OWN_KEY_CSR of @key; the answer comes into the buffer. */
bool tee_own_key(struct tee_session *session, uint32_t command, uint32_t key,
		 size_t *len, struct tee_error *error);
bool tee_own_key_rotate(struct tee_session *session, uint32_t key,
			uint64_t *generation, struct tee_error *error);
/* WORK for @ms milliseconds, from place @first of the board on. */
bool tee_work(struct tee_session *session, uint32_t ms, uint32_t first,
	      uint32_t *tiles, struct tee_error *error);

/*
 * ENCRYPT_BEGIN or ENCRYPT_PUSH with the first @len bytes of the buffer, a
 * quarter of it at most: what came out, of *@out_len bytes, behind them in the
 * buffer. NULL on failure.
 */
const uint8_t *tee_encrypt(struct tee_session *session, uint32_t command,
			   size_t len, size_t *out_len,
			   struct tee_error *error);

/* No session has this model loaded. */
bool tee_error_is_missing_model(const struct tee_error *error);
/* Secure memory is short: another session might make room. */
bool tee_error_is_memory(const struct tee_error *error);
/* The TA has panicked: its session is of no more use. */
bool tee_error_is_dead(const struct tee_error *error);

#endif /* CML_TEE_CLIENT_H */

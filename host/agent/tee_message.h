/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the TEE service (protocol.h). All from the host have one form:
 *
 *   number u32	of the call: its answer has the same, and CANCEL names it
 *   a, b, c u32, uuid 16 bytes, as each type wants them
 *   four parameters: type, a, b, c, each u32
 *   data
 *
 *   INITIALIZE	data: name of the TEE, none for the default
 *   OPEN	a: login method, b: group, uuid in network order, parameters
 *   INVOKE	a: session, b: command, parameters
 *   CLOSE	a: session
 *   CANCEL	number: of an INVOKE that runs. Not answered.
 *   SHARE	a: 0 allocates, 1 registers, b: TEEC_MEM_*, c: size
 *   RELEASE	a: memory
 *   WRITE	a: memory, b: offset, data
 *   READ	a: memory, b: offset, c: size
 *
 * and TEE_DONE is:
 *
 *   number u32, TEEC_Result u32, origin u32
 *   value u32: the session or memory that was made
 *   four parameters, data
 *
 * Types of parameters are GlobalPlatform's. A value is in a and b. A temporary
 * memref has its size in a, and in b 1 if it is the null reference; its bytes
 * are in data, one after the other: of those that go in as many as the size
 * says, of those that come out the new size, or none if that is larger. Other
 * memrefs have the memory in a, offset in b, size in c.
 */
#ifndef TEE_MESSAGE_H
#define TEE_MESSAGE_H

#include <stdbool.h>

#include "frame.h"

#define TEE_PARAM_COUNT		4
#define TEE_PARAM_SIZE		16
#define TEE_UUID_SIZE		16
#define TEE_CALL_SIZE		(16 + TEE_UUID_SIZE + \
				 TEE_PARAM_COUNT * TEE_PARAM_SIZE)
#define TEE_DONE_SIZE		(16 + TEE_PARAM_COUNT * TEE_PARAM_SIZE)
/* All temporary memrefs of a call together, and each shared memory. */
#define TEE_MEMORY_MAX_SIZE	(32 * 1024 * 1024)

struct tee_param {
	uint32_t type, a, b, c;
};

struct tee_call {
	uint32_t number, a, b, c;
	const uint8_t *uuid;
	struct tee_param params[TEE_PARAM_COUNT];
	const uint8_t *data;	/* in the frame */
	size_t len;
};

/*
 * False when it is no such frame: too short, a type of parameter that does not
 * exist, or data that is not what the parameters say.
 */
bool tee_call_parse(const struct frame *frame, struct tee_call *call);

bool tee_param_is_temporary(const struct tee_param *param);
bool tee_param_goes_in(const struct tee_param *param);
bool tee_param_comes_out(const struct tee_param *param);
bool tee_param_is_null(const struct tee_param *param);

void tee_params_store(uint8_t *bytes,
		      const struct tee_param params[TEE_PARAM_COUNT]);

#endif /* TEE_MESSAGE_H */

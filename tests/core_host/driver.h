// SPDX-License-Identifier: Apache-2.0
/*
 * ta/core as a process: tests send a command and bytes on stdin, get a status
 * and bytes on stdout. Runs natively under ASan and UBSan, and for arm64
 * under qemu-aarch64.
 *
 * Request:	u32 length of what follows, u8 name length, name, payload
 * Reply:	u32 length of what follows, u32 cml_status, payload
 * Integers are little endian.
 */
#ifndef CML_DRIVER_H
#define CML_DRIVER_H

#include "bytes.h"
#include "memory.h"
#include "status.h"

/* Grows; freed by the driver after the reply was written. */
struct driver_reply {
	uint8_t *data;
	size_t len, size;
};

void driver_put(struct driver_reply *reply, const void *data, size_t len);
void driver_put_u32(struct driver_reply *reply, uint32_t value);
void driver_put_u64(struct driver_reply *reply, uint64_t value);

/* Little-endian readers on top of cml_cursor_take(). */
uint32_t driver_u32(struct cml_cursor *cur);
uint64_t driver_u64(struct cml_cursor *cur);

/* u32 length, bytes; and whatever is left. */
struct cml_bytes driver_string(struct cml_cursor *cur);
struct cml_bytes driver_rest(struct cml_cursor *cur);

struct driver_command {
	const char *name;
	enum cml_status (*run)(struct cml_bytes payload,
			       struct driver_reply *reply);
};

/* Each ends with a {NULL, NULL} entry; one table per cmd_*.c. */
extern const struct driver_command driver_cose_commands[];
extern const struct driver_command driver_crypto_commands[];
extern const struct driver_command driver_engine_commands[];
extern const struct driver_command driver_job_commands[];
extern const struct driver_command driver_media_commands[];
extern const struct driver_command driver_sealer_commands[];
extern const struct driver_command driver_vault_commands[];

/*
 * malloc() behind struct cml_allocator: exact sizes for ASan, wiped on
 * release, and a size that is not the one allocated aborts. After
 * driver_fail_allocation(n) the n-th next allocation (from 0) fails;
 * driver_fail_allocation(-1): none. driver_allocated() counts live blocks.
 */
const struct cml_allocator *driver_allocator(void);
void driver_fail_allocation(int64_t n);
size_t driver_allocated(void);

#endif /* CML_DRIVER_H */

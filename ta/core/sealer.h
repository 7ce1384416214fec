// SPDX-License-Identifier: Apache-2.0
/*
 * Writer of sealed streams (stream.h has the format). Only in builds with
 * CFG_CML_ENCRYPT_MODEL=y: a TA that can seal under an owner's key makes files
 * that cannot be told from the owner's.
 *
 * Bytes may be pushed in pieces of any size, from memory that others can write:
 * each byte is read once, into the sealer's own buffer.
 */
#ifndef CML_SEALER_H
#define CML_SEALER_H

#include "crypto.h"
#include "memory.h"
#include "stream.h"

struct cml_sealer;

/*
 * Takes whole sealed segments, in order. @sealed is valid during the call only.
 * An error ends the stream and is what push returns.
 */
typedef enum cml_status (*cml_sealer_sink)(void *ctx, struct cml_bytes sealed);

/*
 * @plaintext_len: 1 to 2^32 - 1, what will be pushed. @header gets what precedes
 * the first segment. Takes one block of a little over a segment from
 * @allocator. CML_NO_MEMORY, CML_CRYPTO.
 */
enum cml_status cml_sealer_new(const struct cml_allocator *allocator,
			       const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_bytes associated,
			       uint64_t plaintext_len,
			       cml_sealer_sink sink, void *sink_ctx,
			       uint8_t header[CML_STREAM_HEADER_SIZE],
			       struct cml_sealer **sealer);
/* How much the sink will get for the next @len bytes. */
uint64_t cml_sealer_push_size(const struct cml_sealer *sealer, size_t len);
/*
 * The last segment is sealed with the last byte. After an error the stream is
 * over: what follows gives the same error. CML_STREAM_LENGTH: that was more than
 * announced.
 */
enum cml_status cml_sealer_push(struct cml_sealer *sealer,
				struct cml_bytes plain);
/* CML_STREAM_LENGTH: less was pushed than announced. */
enum cml_status cml_sealer_finish(const struct cml_sealer *sealer);
void cml_sealer_free(struct cml_sealer *sealer);	/* wipes; NULL allowed */

#endif /* CML_SEALER_H */

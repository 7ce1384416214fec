// SPDX-License-Identifier: Apache-2.0
/*
 * Reader of sealed streams: Tink Streaming AEAD, AES-GCM-HKDF, with a 256-bit
 * input key, HKDF-SHA256, AES-256-GCM and ciphertext segments of 65536 bytes.
 *
 *   u8 header length (40) | salt (32) | nonce prefix (7) | segment | ...
 *
 * The segment key is HKDF(input key, salt, info = associated data). Segment
 * i is sealed with the nonce prefix || u32 i || u8 last, big endian, and
 * no associated data; the first is shorter by the 40 bytes of the header.
 * https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
 *
 * Bytes may be pushed in pieces of any size, from memory that others can
 * write: each byte is read once, into the stream's own buffer. A segment
 * reaches the sink only after it was authenticated, as one whole.
 *
 * That a segment does not open is one bit. To name the cause, the segments
 * that should be in this stream are then tried at its place: at most one
 * pass over the stream, and only when its first segment was authentic.
 *
 *   opens in its place, but the stream ends	STREAM_TRUNCATED
 *   opens in its place, but data follows	STREAM_EXTENDED
 *   opens in the place of another		STREAM_REORDERED
 *   opens nowhere, the first			STREAM_CONTEXT
 *   opens nowhere, the stream is too short	STREAM_TRUNCATED
 *   opens nowhere				STREAM_SPLICED
 */
#ifndef CML_STREAM_H
#define CML_STREAM_H

#include "crypto.h"
#include "memory.h"

#define CML_STREAM_SEGMENT_SIZE	65536
#define CML_STREAM_HEADER_SIZE	40
#define CML_STREAM_SALT_SIZE	32

struct cml_stream;

/*
 * Takes authenticated plaintext, in order. @plain is valid during the call
 * only. An error ends the stream and is what push or finish returns.
 */
typedef enum cml_status (*cml_stream_sink)(void *ctx, struct cml_bytes plain);

/*
 * @associated is copied. @plaintext_len: 1 to 2^32, what the stream must hold.
 * Takes one block of a little over two segments from @allocator (ciphertext
 * and plaintext), besides what the cryptography takes. CML_NO_MEMORY.
 */
enum cml_status cml_stream_new(const struct cml_allocator *allocator,
			       const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_bytes associated,
			       uint64_t plaintext_len,
			       cml_stream_sink sink, void *sink_ctx,
			       struct cml_stream **stream);
/*
 * After an error the stream is over: what follows gives the same error.
 * CML_BAD_STATE after finish.
 */
enum cml_status cml_stream_push(struct cml_stream *stream,
				struct cml_bytes sealed);
/* The last segment is opened here: only now is the stream known complete. */
enum cml_status cml_stream_finish(struct cml_stream *stream);
/*
 * SHA-256 of the associated data and of all bytes pushed (40-byte stream header
 * included), once and after a finish that went well; CML_BAD_STATE otherwise.
 */
enum cml_status cml_stream_digest(struct cml_stream *stream,
				  uint8_t digest[CML_SHA256_SIZE]);
void cml_stream_free(struct cml_stream *stream);	/* wipes; NULL allowed */

#endif /* CML_STREAM_H */

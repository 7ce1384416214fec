// SPDX-License-Identifier: Apache-2.0
/* Where segments stand in a stream (stream.h), for who opens and who seals. */
#ifndef CML_STREAM_PLACE_H
#define CML_STREAM_PLACE_H

#include <string.h>

#include "stream.h"

#define CML_STREAM_NONCE_PREFIX_SIZE	7
#define CML_STREAM_PLAIN_SIZE		(CML_STREAM_SEGMENT_SIZE - \
					 CML_GCM_TAG_SIZE)

struct cml_stream_place {
	uint32_t index;
	bool last;
	size_t sealed_len;
};

/* Room for plaintext up to the end of segment @index. */
static inline uint64_t cml_stream_plain_end(uint32_t index)
{
	return (uint64_t)CML_STREAM_PLAIN_SIZE * (index + 1ull) -
	       CML_STREAM_HEADER_SIZE;
}

static inline uint32_t cml_stream_segment_count(uint64_t plaintext_len)
{
	uint64_t end = plaintext_len + CML_STREAM_HEADER_SIZE;

	return (end + CML_STREAM_PLAIN_SIZE - 1) / CML_STREAM_PLAIN_SIZE;
}

/* Of segment @index, in a stream with so much plaintext. */
static inline struct cml_stream_place cml_stream_place(uint64_t plaintext_len,
						       uint32_t index)
{
	uint64_t begin = index ? cml_stream_plain_end(index - 1) : 0;
	uint64_t end = cml_stream_plain_end(index);
	struct cml_stream_place place = { .index = index };

	if (end >= plaintext_len) {
		end = plaintext_len;
		place.last = true;
	}
	place.sealed_len = end - begin + CML_GCM_TAG_SIZE;

	return place;
}

static inline void
cml_stream_nonce(const uint8_t prefix[CML_STREAM_NONCE_PREFIX_SIZE],
		 const struct cml_stream_place *place,
		 uint8_t nonce[CML_GCM_NONCE_SIZE])
{
	memcpy(nonce, prefix, CML_STREAM_NONCE_PREFIX_SIZE);
	cml_store_be32(nonce + CML_STREAM_NONCE_PREFIX_SIZE, place->index);
	nonce[CML_GCM_NONCE_SIZE - 1] = place->last;
}

#endif /* CML_STREAM_PLACE_H */

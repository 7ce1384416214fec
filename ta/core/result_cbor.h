// SPDX-License-Identifier: Apache-2.0
/*
 * What results have in common when they are written. tinycbor's encoder goes on
 * counting after the first error, so that errors can be gathered and looked at
 * once.
 */
#ifndef CML_RESULT_CBOR_H
#define CML_RESULT_CBOR_H

#include "cbor.h"

#include "nn/graph.h"
#include "result.h"

struct cml_result_writer {
	CborError error;
};

static inline void cml_result_note(struct cml_result_writer *writer,
				   CborError error)
{
	if (!writer->error)
		writer->error = error;
}

static inline void cml_result_put_key(struct cml_result_writer *writer,
				      CborEncoder *map, const char *key)
{
	cml_result_note(writer, cbor_encode_text_stringz(map, key));
}

void cml_result_put_uint(struct cml_result_writer *writer, CborEncoder *map,
			 const char *key, uint64_t value);
void cml_result_put_bytes(struct cml_result_writer *writer, CborEncoder *map,
			  const char *key, const uint8_t *bytes, size_t len);
#define CML_RESULT_IDENTITY_ENTRIES	8
/* So many entries: what the result is of, and who says so. */
void cml_result_put_identity(struct cml_result_writer *writer,
			     CborEncoder *map,
			     const struct cml_result *result);
#define CML_RESULT_INFO_ENTRIES		4
/* So many entries: what a tensor is. */
void cml_result_put_info(struct cml_result_writer *writer, CborEncoder *map,
			 const struct cml_tensor_info *info);

#endif /* CML_RESULT_CBOR_H */

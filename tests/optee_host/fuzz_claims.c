// SPDX-License-Identifier: Apache-2.0
/*
 * What OP-TEE's pseudo-TA "evidence" takes as a TA's own claims. Another
 * parser, tinycbor, has the last word: what was taken is one map, valid in
 * itself, that ends with the bytes and is not too deep.
 */
#include <cbor.h>
#include <stdint.h>
#include <stdlib.h>

#include <claims.h>
#include <pta_evidence.h>

#define DEPTH	PTA_EVIDENCE_CLAIMS_DEPTH

/* Containers are left as soon as they end; the deepest there was */
static int depth_of(const CborValue *top)
{
	CborValue in[DEPTH + 2] = { *top };
	int deepest = 0;
	int depth = 0;

	for (;;) {
		CborValue *at = in + depth;

		if (depth && cbor_value_at_end(at)) {
			if (cbor_value_leave_container(at - 1, at))
				abort();
			depth--;
		} else if (!depth && deepest) {
			return deepest;
		} else if (cbor_value_is_container(at)) {
			if (depth > DEPTH ||
			    cbor_value_enter_container(at, at + 1))
				abort();
			depth++;
		} else if (cbor_value_advance(at)) {
			abort();
		}
		if (depth > deepest)
			deepest = depth;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CborParser parser = { 0 };
	CborValue top = { 0 };
	CborValue next = { 0 };

	if (!size || check_claims(data, size))
		return 0;
	if (cbor_parser_init(data, size, 0, &parser, &top) ||
	    !cbor_value_is_map(&top) ||
	    cbor_value_validate(&top, CborValidateBasic))
		abort();
	next = top;
	if (cbor_value_advance(&next) ||
	    cbor_value_get_next_byte(&next) != data + size)
		abort();
	if (depth_of(&top) > DEPTH)
		abort();

	return 0;
}

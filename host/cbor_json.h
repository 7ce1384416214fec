// SPDX-License-Identifier: Apache-2.0
#ifndef CML_CBOR_JSON_H
#define CML_CBOR_JSON_H

#include "text.h"

/*
 * Appends the members of a CBOR map as JSON, without the braces around them.
 * Takes what the TA's INFO has: integers from 0 up, byte strings (as hex),
 * text, arrays, maps with text as keys, true, false, null; lengths definite,
 * nested no deeper than four. False when @data is anything else.
 */
bool cbor_json_members(struct text *text, const uint8_t *data, size_t len);

#endif /* CML_CBOR_JSON_H */

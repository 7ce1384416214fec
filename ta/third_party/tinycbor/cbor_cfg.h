// SPDX-License-Identifier: Apache-2.0
/* Included by cbor.h. */
#ifndef CML_CBOR_CFG_H
#define CML_CBOR_CFG_H

#define CBOR_NO_HALF_FLOAT_TYPE	1

/* Nothing of ours skips a container, which is what would recurse. */
#define CBOR_PARSER_MAX_RECURSIONS	1

/* OP-TEE's <compiler.h> makes a macro of a word that tinycbor uses. */
#undef fallthrough

#endif /* CML_CBOR_CFG_H */

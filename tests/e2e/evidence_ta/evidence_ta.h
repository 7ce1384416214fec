/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TA that hands its calls on to the pseudo-TA "evidence" as they are:
 * command, parameters, and their types.
 */
#ifndef EVIDENCE_TA_H
#define EVIDENCE_TA_H

/* 835a053a-67d6-4491-a18f-b691aea64a86 */
#define EVIDENCE_TA_UUID \
	{ 0x835a053a, 0x67d6, 0x4491, \
	  { 0xa1, 0x8f, 0xb6, 0x91, 0xae, 0xa6, 0x4a, 0x86 } }

/* What the tests change, each in a place of its own: code, constants, data */
#define EVIDENCE_TA_IN_CODE	1
#define EVIDENCE_TA_IN_CONSTANTS "1"
#define EVIDENCE_TA_IN_DATA	1

/* [out] value[0].a: the three as one number */
#define EVIDENCE_TA_NUMBER	100
/* [in] memref[0]: UUID of a library, as text that ends with 0 */
#define EVIDENCE_TA_LOAD	101

#endif /* EVIDENCE_TA_H */

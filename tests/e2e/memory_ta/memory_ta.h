/* SPDX-License-Identifier: Apache-2.0 */
/* A TA that has one shared block at a time, and does with it what it is told. */
#ifndef MEMORY_TA_H
#define MEMORY_TA_H

/* 4be0c9a1-27d5-4d3e-8f6c-90b1e2a7d354 */
#define MEMORY_TA_UUID \
	{ 0x4be0c9a1, 0x27d5, 0x4d3e, \
	  { 0x8f, 0x6c, 0x90, 0xb1, 0xe2, 0xa7, 0xd3, 0x54 } }

/* [in] value[0]: name, upper and lower half; [in] value[1].a: size */
#define MEMORY_TA_CREATE	0
/* [in] value[0]: name; [out] value[1].a: size */
#define MEMORY_TA_MAP		1
#define MEMORY_TA_UNMAP		2
/* [in] value[0].a: every byte becomes this */
#define MEMORY_TA_FILL		3
/* [out] value[0]: lowest and highest byte there is */
#define MEMORY_TA_LOOK		4
/* The session with the pseudo-TA is closed, the block still mapped. */
#define MEMORY_TA_CLOSE		5
#define MEMORY_TA_PANIC		6
/* [in] value[0]: unmaps this address */
#define MEMORY_TA_UNMAP_AT	7
/* Each page gets its number. */
#define MEMORY_TA_NUMBER	8
/* [out] value[0].a: how many pages have theirs */
#define MEMORY_TA_COUNT		9

#endif /* MEMORY_TA_H */

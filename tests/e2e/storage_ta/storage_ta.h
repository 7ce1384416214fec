/* SPDX-License-Identifier: Apache-2.0 */
/* A TA that keeps small objects, and tells who the device is. */
#ifndef STORAGE_TA_H
#define STORAGE_TA_H

/* c0a5b8e2-61f4-4f7b-9d38-2e7b05c1fa96 */
#define STORAGE_TA_UUID \
	{ 0xc0a5b8e2, 0x61f4, 0x4f7b, \
	  { 0x9d, 0x38, 0x2e, 0x7b, 0x05, 0xc1, 0xfa, 0x96 } }

/* [in] memref0: the object's name; [in] memref1: its content, from now on */
#define STORAGE_TA_STORE	0
/* [in] memref0: the object's name; [out] memref1: its content */
#define STORAGE_TA_LOAD		1
/* [in] memref0: the object's name */
#define STORAGE_TA_REMOVE	2
/* [out] memref0: gpd.tee.deviceID; [out] memref1: a key of this TA, 32 bytes */
#define STORAGE_TA_DEVICE	3
/* [out] memref0: random numbers */
#define STORAGE_TA_RANDOM	4

#endif /* STORAGE_TA_H */

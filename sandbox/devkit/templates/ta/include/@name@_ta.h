/* SPDX-License-Identifier: 0BSD */
/* What the TA @name@ offers: shared by the TA, its clients and its tests. */

#ifndef @NAME@_TA_H
#define @NAME@_TA_H

/* @uuid@ */
#define TA_@NAME@_UUID \
	{ @uuid_c@ }

/*
 * TA_@NAME@_CMD_ADD - Add to the total of the session
 *
 * [in]     value[0].a    What to add
 * [out]    value[1].a    The total: of this session, from 0 when it is opened
 *
 * Return codes:
 * TEE_SUCCESS
 * TEE_ERROR_BAD_PARAMETERS - Other parameter types
 * TEE_ERROR_OVERFLOW - The total would not fit; it stays as it is
 */
#define TA_@NAME@_CMD_ADD		0

/*
 * TA_@NAME@_CMD_DIGEST - SHA-256 of some bytes, computed in the secure world
 *
 * [in]     memref[0]    The bytes; there may be none
 * [out]    memref[1]    The digest: 32 bytes
 *
 * Return codes:
 * TEE_SUCCESS
 * TEE_ERROR_BAD_PARAMETERS - Other parameter types
 * TEE_ERROR_SHORT_BUFFER - memref[1] has no room; its size is set to 32
 * TEE_ERROR_OUT_OF_MEMORY
 */
#define TA_@NAME@_CMD_DIGEST		1

#endif /* @NAME@_TA_H */

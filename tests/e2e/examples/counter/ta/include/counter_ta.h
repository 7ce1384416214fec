/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COUNTER_TA_H
#define COUNTER_TA_H

#define TA_COUNTER_UUID \
	{ 0xe2e00002, 0x4d6c, 0x4c83, \
		{ 0x9c, 0x27, 0x2f, 0x1d, 0x7a, 0x3c, 0x5b, 0x02 } }

/* [out] value[0].a: how often it was called since the TA was loaded */
#define TA_COUNTER_CMD_COUNT	0

#define TA_COUNTER_STEP		1

#endif /* COUNTER_TA_H */

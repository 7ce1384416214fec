// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "memory.h"

void cml_wipe(void *ptr, size_t size)
{
	if (!ptr || !size)
		return;
	memset(ptr, 0, size);
	/* The store is observable: the asm may read what @ptr points to. */
	__asm__ __volatile__("" : : "r"(ptr) : "memory");
}

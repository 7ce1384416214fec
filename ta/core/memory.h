// SPDX-License-Identifier: Apache-2.0
/*
 * Where core gets memory from. Nothing in core calls malloc(): it is handed a
 * struct cml_allocator, which the TA backs with mapped secure pages, and the
 * tests with malloc() under ASan and with a counter that fails the n-th call.
 */
#ifndef CML_MEMORY_H
#define CML_MEMORY_H

#include <stddef.h>

/* What every block is aligned to: a cache line, and enough for any kernel. */
#define CML_MEMORY_ALIGN 64

struct cml_allocator {
	/* Zeroed block of @size bytes, CML_MEMORY_ALIGN aligned, or NULL. */
	void *(*alloc)(void *ctx, size_t size);
	/* Wipe and release; @ptr NULL is allowed; @size as allocated. */
	void (*release)(void *ctx, void *ptr, size_t size);
	void *ctx;
};

/* Overwrite in a way the compiler keeps. */
void cml_wipe(void *ptr, size_t size);

#endif /* CML_MEMORY_H */

// SPDX-License-Identifier: Apache-2.0
/*
 * What libjpeg-turbo's own build would write: its private configuration.
 * No include guard: jinclude.h includes it once, wrappers rely on that.
 */
#define BUILD		"optee-sandbox"
#define HIDDEN		__attribute__((visibility("hidden")))
#define INLINE		__inline__ __attribute__((always_inline))
#define THREAD_LOCAL
#define PACKAGE_NAME	"libjpeg-turbo"
#define VERSION		"3.1.3"
#define SIZEOF_SIZE_T	__SIZEOF_SIZE_T__
#define HAVE_BUILTIN_CTZL
#define FALLTHROUGH	__attribute__((__fallthrough__));

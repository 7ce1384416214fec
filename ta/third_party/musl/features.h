// SPDX-License-Identifier: Apache-2.0
#ifndef CML_MUSL_FEATURES_H
#define CML_MUSL_FEATURES_H

#define hidden	__attribute__((__visibility__("hidden")))

#endif /* CML_MUSL_FEATURES_H */

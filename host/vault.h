// SPDX-License-Identifier: Apache-2.0
/*
 * The sealed files of the models in the TA's vault: beside OP-TEE's secure
 * storage, since they go together. Each build of the TA has its own vault, and
 * so its own folder. A file is called by the salt of its stream in hexadecimal,
 * which is different each time that anything is sealed. Functions return -1 and
 * set errno as open() does.
 */
#ifndef CML_VAULT_H
#define CML_VAULT_H

#include <limits.h>

#include "share.h"

#define VAULT_DEFAULT_PATH	"/var/lib/tee/vault"
#define VAULT_NAME_LEN		64

struct vault {
	struct share folder;
	char path[PATH_MAX];
};

/* The folder @id below @root, made if it is not there. */
int vault_open(struct vault *vault, const char *root, const char *id);
void vault_close(struct vault *vault);

/* What a file has to be called that begins so; false: no model is so short. */
bool vault_name(int fd, char name[VAULT_NAME_LEN + 1]);
/*
 * The file behind @fd under @name: it is there as a whole, and lasts, or not at
 * all.
 */
int vault_keep(struct vault *vault, int fd, const char *name);
/* Removes what @is_wanted does not know. */
void vault_sweep(struct vault *vault,
		 bool (*is_wanted)(const void *ctx, const char *name),
		 const void *ctx);

#endif /* CML_VAULT_H */

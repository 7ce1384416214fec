// SPDX-License-Identifier: Apache-2.0
/*
 * Requests about the TA's vault. What is in it the TA says (MODEL_LIST), and
 * that is what its files are looked up in.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cbor_json.h"
#include "cml_ta.h"
#include "requests_private.h"
#include "vault.h"

#define ID_LEN	16

/* MODEL_LIST, as JSON. */
static bool get_list(struct connection *connection, struct text *list,
		     struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	size_t len = 0;

	if (!tee_get(tee, TA_CML_CMD_MODEL_LIST, &len, &failure->tee))
		return false;
	if (len > tee_session_buffer_size() ||
	    !cbor_json_members(list, tee_session_buffer(tee), len))
		return request_fail(failure, "CA_INFO",
				    "MODEL_LIST makes no sense", "TA");

	return true;
}

/*
 * The value of the first member of this name. JSON has no bare quote inside of
 * a string, so that what looks like a member is one.
 */
static const char *member(const struct text *list, const char *name)
{
	const char *found = NULL;
	char sought[32] = "";

	snprintf(sought, sizeof(sought), "\"%s\":\"", name);
	found = memmem(list->data, list->len, sought, strlen(sought));

	return found ? found + strlen(sought) : NULL;
}

static bool is_listed(const void *list, const char *name)
{
	const struct text *text = list;
	char sought[VAULT_NAME_LEN + 16] = "";

	if (strlen(name) != VAULT_NAME_LEN)
		return false;
	snprintf(sought, sizeof(sought), "\"file\":\"%s\"", name);

	return memmem(text->data, text->len, sought, strlen(sought));
}

static bool open_vault(struct connection *connection, const struct text *list,
		       struct vault *vault, struct failure *failure)
{
	const char *value = member(list, "vault");
	char id[ID_LEN + 1] = "";

	if (!value || list->data + list->len < value + ID_LEN ||
	    strspn(value, "0123456789abcdef") != ID_LEN)
		return request_fail(failure, "CA_INFO",
				    "MODEL_LIST makes no sense", "TA");
	memcpy(id, value, ID_LEN);
	if (vault_open(vault, connection->vault, id))
		return request_fail_file(failure, vault->path);

	return true;
}

bool request_models(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure)
{
	struct text list = { 0 };

	(void)words;
	if (!get_list(connection, &list, failure))
		return false;
	request_put_ok(reply);
	text_put(reply, ",");
	text_put(reply, list.data);
	text_put(reply, "}");

	return true;
}

/*
 * The file, and then the entry that names it: wherever it is cut off, an entry
 * has its file.
 */
static bool keep(struct connection *connection, struct vault *vault,
		 const char *path, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	const int fd = share_open_file(connection->share, path);
	char name[VAULT_NAME_LEN + 1] = "";
	bool kept = false;

	if (fd < 0)
		return request_fail_file(failure, path);
	if (!vault_name(fd, name))
		request_fail(failure, "CA_FILE", "has become shorter", path);
	else if (vault_keep(vault, fd, name))
		request_fail_file(failure, vault->path);
	else
		kept = true;
	close(fd);

	return kept && tee_command(tee, TA_CML_CMD_MODEL_STORE,
				   &failure->tee);
}

static void sweep(struct connection *connection, struct vault *vault)
{
	struct failure ignored = { 0 };
	struct text list = { 0 };

	/* What the TA cannot say, is not known to be unwanted. */
	if (get_list(connection, &list, &ignored))
		vault_sweep(vault, is_listed, &list);
}

static bool store(struct connection *connection, const char *path,
		  struct failure *failure)
{
	struct vault vault = { .folder.fd = -1 };
	struct text list = { 0 };
	bool kept = false;

	if (!get_list(connection, &list, failure) ||
	    !open_vault(connection, &list, &vault, failure))
		return false;
	kept = keep(connection, &vault, path, failure);
	sweep(connection, &vault);
	vault_close(&vault);

	return kept;
}

bool request_store(struct connection *connection, char **words,
		   struct text *reply, struct failure *failure)
{
	struct stopwatch watch = { 0 };
	bool stored = false;

	pthread_mutex_lock(connection->loading);
	stored = request_load_model(connection, words[1], &watch, failure) &&
		 store(connection, words[1], failure);
	pthread_mutex_unlock(connection->loading);
	if (!stored)
		return false;
	request_put_ok(reply);
	text_put(reply, "}");

	return true;
}

/* The file has to be that of its name: the TA cannot tell which was meant. */
static bool check_file(struct vault *vault, const char *path, const char *name,
		       struct failure *failure)
{
	const int fd = share_open_file(&vault->folder, path);
	char found[VAULT_NAME_LEN + 1] = "";
	bool right = false;

	if (fd < 0)
		return request_fail(failure, "CA_VAULT_FILE", strerror(errno),
				    name);
	if (!vault_name(fd, found))
		request_fail(failure, "CA_VAULT_FILE", "is cut off", name);
	else if (strcmp(found, name))
		request_fail(failure, "CA_VAULT_FILE",
			     "holds another sealed model", name);
	else
		right = true;
	close(fd);

	return right;
}

static bool load(struct connection *connection, const char *name,
		 struct stopwatch *watch, struct failure *failure)
{
	const struct share *share = connection->models;
	struct vault vault = { .folder.fd = -1 };
	char path[PATH_MAX + 1] = "";
	struct text list = { 0 };
	bool loaded = false;

	if (!get_list(connection, &list, failure) ||
	    !open_vault(connection, &list, &vault, failure))
		return false;
	snprintf(path, sizeof(path), "%s/%s", vault.path, name);
	connection->models = &vault.folder;
	loaded = check_file(&vault, path, name, failure) &&
		 request_load_model(connection, path, watch, failure);
	connection->models = share;
	vault_close(&vault);

	return loaded;
}

bool request_vault(struct connection *connection, char **words,
		   struct text *reply, struct failure *failure)
{
	struct stopwatch watch = { 0 };
	bool loaded = false;

	if (strlen(words[1]) != VAULT_NAME_LEN ||
	    strspn(words[1], "0123456789abcdef") != VAULT_NAME_LEN)
		return request_fail(failure, "CA_REQUEST",
				    "is no file of the vault", words[1]);
	pthread_mutex_lock(connection->loading);
	loaded = load(connection, words[1], &watch, failure);
	pthread_mutex_unlock(connection->loading);
	if (loaded)
		request_put_loaded(connection, &watch, reply);

	return loaded;
}

static bool put_name(struct connection *connection, uint32_t command,
		     const char *name, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	const size_t len = strlen(name);

	if (len > TA_CML_MODEL_NAME_MAX_SIZE)
		return request_fail(failure, "CA_REQUEST", "name is too long",
				    name);
	memcpy(tee_session_buffer(tee), name, len);

	return tee_put(tee, command, len, &failure->tee);
}

bool request_remove(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure)
{
	struct vault vault = { .folder.fd = -1 };
	struct text list = { 0 };
	bool removed = false;

	pthread_mutex_lock(connection->loading);
	removed = put_name(connection, TA_CML_CMD_MODEL_REMOVE, words[1],
			   failure);
	if (removed && get_list(connection, &list, failure) &&
	    open_vault(connection, &list, &vault, failure)) {
		vault_sweep(&vault, is_listed, &list);
		vault_close(&vault);
	}
	pthread_mutex_unlock(connection->loading);
	if (!removed)
		return false;
	request_put_ok(reply);
	text_put(reply, "}");

	return true;
}

bool request_activate(struct connection *connection, char **words,
		      struct text *reply, struct failure *failure)
{
	if (!put_name(connection, TA_CML_CMD_MODEL_ACTIVATE, words[1],
		      failure))
		return false;
	request_put_ok(reply);
	text_put(reply, "}");

	return true;
}

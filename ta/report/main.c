// SPDX-License-Identifier: Apache-2.0
/*
 * model-report CPU MODEL [TEMPLATE...] [-- LIMIT...]
 *
 * CPU: bits of enum cml_cpu, a number. TEMPLATE: a JPEG whose sides are
 * changed to find the largest such photo in a session of LIMIT bytes; 0: in
 * the arena alone, with no more beside it than a small baseline one needs.
 * Exit status 0 also for a model that is refused: the report says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define BOARD_SIZE	4096
#define FILE_MAX_SIZE	(64u << 20)

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long size = -1;

	if (file && !fseek(file, 0, SEEK_END))
		size = ftell(file);
	if (size > (long)FILE_MAX_SIZE) {
		fprintf(stderr, "%s has more than 64 MiB\n", path);
		fclose(file);
		return NULL;
	}
	if (size < 0 || fseek(file, 0, SEEK_SET))
		goto out;
	/* One byte more than none, and aligned as the engine wants it. */
	data = aligned_alloc(CML_MEMORY_ALIGN, (size / CML_MEMORY_ALIGN + 1) *
					       CML_MEMORY_ALIGN);
	if (data && fread(data, 1, size, file) != (size_t)size) {
		free(data);
		data = NULL;
	}
	*len = size;
out:
	if (file)
		fclose(file);
	if (!data)
		fprintf(stderr, "cannot read %s\n", path);

	return data;
}

size_t network_extra(const struct cml_graph *graph)
{
	size_t size = BOARD_SIZE;

	for (size_t i = 0; i < cml_graph_input_count(graph); i++)
		size += cml_graph_input(graph, i).size;

	return size;
}

static void count(struct report *report, uint8_t *copy)
{
	struct account account = { 0 };
	size_t published = 0;

	account_init(&account, SIZE_MAX);
	account_take(&account, report->file.len);
	report->status = cml_graph_prepare(&account.allocator, copy,
					   report->file.len, report->cpu,
					   &report->graph, &report->problem);
	if (report->status)
		return;
	/* Shared as a copy; then the one that was prepared goes. */
	published = GRAPH_HEAD + cml_graph_size(report->graph);
	account_take(&account, published);
	report->loading = account.peak;

	account_init(&account, SIZE_MAX);
	account_take(&account, report->file.len);
	account_take(&account, published);
	report->shared = account.used;
	account_take(&account, cml_graph_arena_size(report->graph));
	account_take(&account, cml_graph_scratch_size(report->graph));
	account_take(&account, network_extra(report->graph));
	report->own = account.used - report->shared;
}

static void try_detector(struct report *report)
{
	struct cml_detector *detector = NULL;
	struct account account = { 0 };

	account_init(&account, SIZE_MAX);
	report->detector_status = cml_detector_new(&account.allocator,
						   report->graph, &detector);
	if (!report->detector_status)
		report->input_size = cml_graph_input(report->graph, 0).dims[1];
	cml_detector_free(detector);
}

static void put_limits(CborEncoder *map, const struct report *report,
		       const struct photo_template *template, char **limits,
		       CborError *error)
{
	CborEncoder array = { 0 };
	CborEncoder fields = { 0 };

	*error |= cbor_encoder_create_array(map, &array, CborIndefiniteLength);
	for (char **text = limits; *text; text++) {
		size_t limit = strtoull(*text, NULL, 0);
		struct photo_limit best = photo_limit(report, template, limit ?
						      limit : report->small);

		*error |= cbor_encoder_create_array(&array, &fields, 4);
		*error |= cbor_encode_uint(&fields, best.width);
		*error |= cbor_encode_uint(&fields, best.height);
		*error |= cbor_encode_uint(&fields, best.peak);
		*error |= cbor_encode_uint(&fields, best.small_peak);
		*error |= cbor_encoder_close_container(&array, &fields);
	}
	*error |= cbor_encoder_close_container(map, &array);
}

static bool put_photos(CborEncoder *map, struct report *report,
		       char **words, CborError *error)
{
	CborEncoder array = { 0 };
	char **limits = words;

	while (*limits && strcmp(*limits, "--"))
		limits++;
	if (*limits)
		*limits++ = NULL;
	*error |= cbor_encode_text_stringz(map, "photos");
	*error |= cbor_encoder_create_array(map, &array, CborIndefiniteLength);
	for (; *words; words++) {
		struct photo_template template = { 0 };
		size_t len = 0;
		uint8_t *file = read_file(*words, &len);

		if (!file || !photo_template(cml_bytes(file, len), &template)) {
			fprintf(stderr, "%s is no template\n", *words);
			free(file);
			return false;
		}
		/* The first one decides: a baseline photo. */
		if (!report->small)
			report->small = photo_limit(report, &template,
						    SIZE_MAX).small_peak;
		put_limits(&array, report, &template, limits, error);
		free(file);
	}
	*error |= cbor_encoder_close_container(map, &array);

	return true;
}

static CborError write_out(void *file, const void *data, size_t len,
			   CborEncoderAppendType append)
{
	(void)append;

	return fwrite(data, 1, len, file) == len ? CborNoError : CborErrorIO;
}

int main(int argc, char **argv)
{
	struct report report = { 0 };
	CborError error = CborNoError;
	CborEncoder encoder = { 0 };
	CborEncoder map = { 0 };
	uint8_t *file = NULL;
	uint8_t *copy = NULL;
	size_t len = 0;
	bool good = true;

	if (argc < 3) {
		fprintf(stderr, "model-report CPU MODEL [TEMPLATE...] "
			"[-- LIMIT...]\n");
		return 2;
	}
	report.cpu = strtoul(argv[1], NULL, 0);
	file = read_file(argv[2], &len);
	copy = file ? read_file(argv[2], &len) : NULL;
	if (!copy)
		return 2;
	report.file = cml_bytes(file, len);

	count(&report, copy);
	if (report.graph)
		try_detector(&report);
	cbor_encoder_init_writer(&encoder, write_out, stdout);
	error = cbor_encoder_create_map(&encoder, &map, CborIndefiniteLength);
	describe_model(&map, &report, &error);
	if (report.graph && !report.detector_status)
		good = put_photos(&map, &report, argv + 3, &error);
	error |= cbor_encoder_close_container(&encoder, &map);

	return good && !error && !fflush(stdout) ? 0 : 1;
}

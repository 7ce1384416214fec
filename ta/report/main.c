// SPDX-License-Identifier: Apache-2.0
/*
 * model-report CPU MODEL [TEMPLATE...] [-- LIMIT...]
 *
 * CPU: bits of enum cml_cpu, a number. TEMPLATE: a JPEG whose sides are
 * changed to find the largest such photo where LIMIT bytes are for one
 * session and what it shares; 0: as many as a small baseline one needs, so in
 * the arena alone.
 * Exit status 0 also for a model that is refused: the report says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* Of the graph in its block: on from what names it. */
#define GRAPH_OFFSET	256
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

/*
 * As ta/inference/model.c loads it: the data, then the graph, prepared in the
 * session's own memory and copied to where all find it.
 */
static void count_model(struct report *report, uint8_t *data)
{
	struct account account = { 0 };
	const struct cml_allocator *allocator = &account.allocator;
	size_t graph_size = 0;
	void *stream = NULL;

	account_init(&account, SIZE_MAX);
	account_share(&account, report->file.len);
	stream = allocator->alloc(allocator->ctx, STREAM_SIZE);
	allocator->release(allocator->ctx, stream, STREAM_SIZE);
	report->status = cml_graph_prepare(allocator, data, report->file.len,
					   report->cpu, &report->graph,
					   &report->problem);
	if (report->status)
		return;
	graph_size = GRAPH_OFFSET + cml_graph_size(report->graph);
	account_share(&account, graph_size);
	report->model_size = account_pages(report->file.len) +
			     account_pages(graph_size);
	report->board_size = BOARD_SIZE;
	report->load_peak = account.peak;
}

/* Of a session that has the model, and of its request of tensors. */
static void count_requests(struct report *report)
{
	struct cml_detector *detector = NULL;
	struct account account = { 0 };

	account_init(&account, SIZE_MAX);
	report->tensors_request = request_peak(&account, report->graph, NULL,
					       cml_bytes(NULL, 0));
	report->detector_status = cml_detector_new(&account.allocator,
						   report->graph, &detector);
	if (!report->detector_status)
		report->input_size = cml_graph_input(report->graph, 0).dims[1];
	report->detector_size = account.used;
	cml_detector_free(detector);
}

static void put_limits(CborEncoder *map, const struct report *report,
		       const struct photo_template *template, char **limits,
		       CborError *error)
{
	CborEncoder array = { 0 };
	CborEncoder limit = { 0 };

	*error |= cbor_encoder_create_array(map, &array, CborIndefiniteLength);
	for (char **text = limits; *text; text++) {
		size_t bytes = strtoull(*text, NULL, 0);
		struct photo_limit best = { 0 };

		/* Where it cannot be loaded, no photo comes. */
		if (!bytes)
			best = photo_limit(report, template, report->small);
		else if (bytes >= report->load_peak)
			best = photo_limit(report, template, bytes);
		*error |= cbor_encoder_create_array(&array, &limit, 4);
		*error |= cbor_encode_uint(&limit, best.width);
		*error |= cbor_encode_uint(&limit, best.height);
		*error |= cbor_encode_uint(&limit, best.peak);
		*error |= cbor_encode_uint(&limit, best.small_peak);
		*error |= cbor_encoder_close_container(&array, &limit);
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

	count_model(&report, copy);
	if (report.graph)
		count_requests(&report);
	cbor_encoder_init_writer(&encoder, write_out, stdout);
	error = cbor_encoder_create_map(&encoder, &map, CborIndefiniteLength);
	describe_model(&map, &report, &error);
	if (report.graph && !report.detector_status)
		good = put_photos(&map, &report, argv + 3, &error);
	error |= cbor_encoder_close_container(&encoder, &map);

	return good && !error && !fflush(stdout) ? 0 : 1;
}

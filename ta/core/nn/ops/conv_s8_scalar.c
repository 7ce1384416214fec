// SPDX-License-Identifier: Apache-2.0
/*
 * Convolution by plain multiplication: three pixels in one of 64 bits.
 *
 * Words are as conv_word.h has them. Sums fit in fields for conv->run of
 * products.
 *
 * The output is made in tiles of 12 pixels times 4 channels; what is left of
 * the pixels, in tiles of 6 or of 3. Values under the kernel are gathered into
 * (patch, words) words; weights were packed to (out_c / 4, patch, 4). Both
 * patches are whole steps: weights there are zeros.
 */
#include <string.h>

#include "conv_word.h"

#define WORDS		4
#define PIXELS		(WORDS * CML_FIELDS)
#define CHANNELS	CML_WORD_CHANNELS
#define STEP		CML_WORD_STEP
#define BLOCK		8	/* values that are put into words at once */
#define MAX_TILES	8
#define TILES_SIZE	16384	/* of their words, if that is possible */

/* At once, with the same weights: what of them stays near the processor. */
static size_t most_tiles(const struct cml_conv *conv)
{
	size_t room = cml_word_round(cml_conv_patch(conv), BLOCK);
	size_t tiles = TILES_SIZE / (room * WORDS * sizeof(uint64_t));

	return tiles > MAX_TILES ? MAX_TILES : tiles ? tiles : 1;
}

/* Words, and the values of each pixel in a row. */
size_t cml_conv_s8_scalar_scratch(const struct cml_conv *conv)
{
	size_t room = cml_word_round(cml_conv_patch(conv), BLOCK);

	return room * WORDS * sizeof(uint64_t) * most_tiles(conv) +
	       room * PIXELS;
}

/* Word @at of (patch, @count) words, from the rows of its three pixels. */
static void fill_words(const int8_t *const rows[CML_FIELDS], size_t patch,
		       size_t at, size_t count, uint64_t *words)
{
	words += at;
	for (size_t k = 0; k < patch; k += BLOCK) {
		uint64_t a = 0;
		uint64_t b = 0;
		uint64_t c = 0;

		memcpy(&a, rows[0] + k, BLOCK);
		memcpy(&b, rows[1] + k, BLOCK);
		memcpy(&c, rows[2] + k, BLOCK);
#pragma GCC unroll 8
		for (size_t i = 0; i < BLOCK; i++) {
			*words = cml_word(cml_byte(a, i), cml_byte(b, i),
					  cml_byte(c, i));
			words += count;
		}
	}
}

#define ONTO(sum, word, weight) \
	do { \
		(sum) += (word) * (weight); \
		CML_KEEP(sum); \
	} while (0)


/*
 * Sums (@count words, 4 channels) of the words of 3, 6 or 12 pixels times 4
 * channels, over @values of the patch: @step of them in a round of the loop.
 */
static CML_INLINE void multiply(const uint64_t *words, const int8_t *weights,
			    size_t values, size_t count, size_t step,
			    uint64_t *out)
{
	uint64_t halves = cml_word(CML_HALF, CML_HALF, CML_HALF);
	uint64_t sums[CHANNELS][WORDS];
	size_t rounds = values / step;

#pragma GCC unroll 4
	for (size_t c = 0; c < CHANNELS; c++)
#pragma GCC unroll 4
		for (size_t i = 0; i < count; i++)
			sums[c][i] = halves;

	do {
		uint64_t x[STEP * WORDS / 2];
		uint64_t w[2];

#pragma GCC unroll 8
		for (size_t i = 0; i < step * count; i++)
			x[i] = words[i];
		memcpy(w, weights, step * CHANNELS);
		words += step * count;
		weights += step * CHANNELS;
#pragma GCC unroll 4
		for (size_t c = 0; c < CHANNELS; c++) {
#pragma GCC unroll 4
			for (size_t k = 0; k < step; k++) {
				size_t byte = k * CHANNELS + c;
				uint64_t weight = cml_byte(w[byte / 8],
							   byte % 8);

#pragma GCC unroll 4
				for (size_t i = 0; i < count; i++)
					ONTO(sums[c][i], x[k * count + i],
					     weight);
			}
		}
		rounds--;
		CML_KEEP(rounds);
	} while (rounds);

#pragma GCC unroll 4
	for (size_t c = 0; c < CHANNELS; c++)
#pragma GCC unroll 4
		for (size_t i = 0; i < count; i++)
			out[i * CHANNELS + c] = sums[c][i];
}

/* Four channels of a pixel. */
static CML_INLINE void put(const int64_t sums[CHANNELS],
			   const struct cml_scale scales[CHANNELS],
			   struct cml_limits limits, bool clamped,
			   int8_t *output)
{
	uint64_t four = 0;
	uint32_t bytes = 0;

#pragma GCC unroll 4
	for (size_t c = 0; c < CHANNELS; c++) {
		four |= cml_below_max(sums[c], &scales[c], limits.range,
				      clamped) << 8 * c;
		CML_KEEP(four);
	}
	/* No byte borrows; the lowest is the first. */
	bytes = (limits.max - four) ^ UINT32_C(0x80808080);
	memcpy(output, &bytes, sizeof(bytes));
}

/* From words (@count, 4) of all products, to pixels @stride bytes apart. */
static CML_INLINE void put_words(const uint64_t *words, size_t count,
			     const struct cml_scale scales[CHANNELS],
			     struct cml_limits limits, bool clamped,
			     int8_t *output, size_t stride)
{
	do {
#pragma GCC unroll 3
		for (size_t i = 0; i < CML_FIELDS; i++) {
			int64_t sums[CHANNELS] = {
				cml_field(words[0], i), cml_field(words[1], i),
				cml_field(words[2], i), cml_field(words[3], i),
			};

			put(sums, scales, limits, clamped, output);
			output += stride;
		}
		words += CHANNELS;
		count--;
		CML_KEEP(count);
	} while (count);
}

/* Onto sums (pixels, 4), what the words of one run are. */
static void add_words(const uint64_t *words, size_t count, int32_t *sums)
{
	for (; count; count--, words += CHANNELS) {
#pragma GCC unroll 4
		for (size_t c = 0; c < CHANNELS; c++) {
			uint64_t word = words[c];

#pragma GCC unroll 3
			for (size_t i = 0; i < CML_FIELDS; i++) {
				int32_t *sum = sums + i * CHANNELS + c;

				*sum = cml_quant_add(*sum, cml_field(word, i) -
						     CML_HALF);
			}
		}
		sums += CML_FIELDS * CHANNELS;
	}
}

/* From sums (@pixels, 4) without their bias. */
static void put_sums(const int32_t *sums, size_t pixels,
		     const struct cml_scale scales[CHANNELS],
		     struct cml_limits limits, int8_t *output, size_t stride)
{
	do {
		int64_t four[CHANNELS] = { sums[0], sums[1], sums[2], sums[3] };

		if (limits.clamped)
			put(four, scales, limits, true, output);
		else
			put(four, scales, limits, false, output);
		output += stride;
		sums += CHANNELS;
		pixels--;
		CML_KEEP(pixels);
	} while (pixels);
}

/* The same for any numbers. */
static void put_any(const struct cml_conv_call *call, const int32_t *sums,
		    size_t pixels, int32_t first, int8_t *output, size_t stride)
{
	const struct cml_conv *conv = call->conv;

	for (; pixels; pixels--, output += stride) {
		for (int32_t c = first; c < first + CHANNELS; c++) {
			struct cml_factor factor = {
				.multiplier = call->multiplier[c],
				.shift = call->shift[c],
			};
			int32_t sum = cml_quant_add(*sums++, call->bias[c]);

			sum = cml_quant_scale(sum, factor);
			sum = cml_quant_add(sum, conv->output_zero_point);
			output[c - first] = cml_quant_clamp(sum, conv->min,
							    conv->max);
		}
	}
}

/* Of @pixels pixels, 4 bytes apart, @channels each. */
static void copy_some(const int8_t *from, size_t pixels, size_t channels,
		      int8_t *output, size_t stride)
{
	for (; pixels; pixels--, output += stride, from += CHANNELS)
		for (size_t c = 0; c < channels; c++)
			output[c] = from[c];
}

/* Tiles with all their inputs, of up to @count words' pixels each. */
struct tiles {
	const struct cml_conv_call *call;
	struct cml_limits limits;
	const uint64_t *words;	/* (tiles, patch, count) */
	size_t pitch;		/* words from tile to tile */
	size_t tiles;
	size_t pixels;		/* of one tile */
	int8_t *output;		/* (tiles * pixels, out_c) */
};

/* Channels from @first on of one tile, to pixels @stride bytes apart. */
static CML_INLINE void one_tile(const struct tiles *at, const uint64_t *words,
			    const int8_t *weights, size_t count, size_t step,
			    const struct cml_scale scales[CHANNELS],
			    int32_t first, int8_t *output, size_t stride)
{
	const struct cml_conv *conv = at->call->conv;
	size_t left = cml_word_patch(conv);
	bool direct = left <= conv->run && conv->one_product;
	uint64_t products[WORDS * CHANNELS];
	int32_t sums[PIXELS * CHANNELS];

	if (!direct)
		memset(sums, 0, sizeof(sums));
	while (left) {
		size_t values = left < conv->run ? left : conv->run;

		multiply(words, weights, values, count, step, products);
		words += count * values;
		weights += CHANNELS * values;
		left -= values;
		if (!direct)
			add_words(products, count, sums);
	}
	if (direct && at->limits.clamped)
		put_words(products, count, scales, at->limits, true, output,
			  stride);
	else if (direct)
		put_words(products, count, scales, at->limits, false, output,
			  stride);
	else if (conv->one_product)
		put_sums(sums, at->pixels, scales, at->limits, output, stride);
	else
		put_any(at->call, sums, at->pixels, first, output, stride);
}

/* Stack: 800 bytes, among them the words and sums of a tile. */
static CML_INLINE void all_channels(const struct tiles *at, size_t count,
				size_t step)
{
	const struct cml_conv *conv = at->call->conv;
	size_t patch = cml_word_patch(conv);
	int64_t start = patch <= conv->run ? CML_HALF : 0;
	struct cml_range groups =
		cml_conv_share(at->call->part, conv->tile_parts,
			       (conv->out_c + CHANNELS - 1) / CHANNELS);
	const int8_t *weights = at->call->weights +
				CHANNELS * patch * groups.begin;
	int32_t end = groups.end * CHANNELS;

	if (end > conv->out_c)
		end = conv->out_c;
	for (int32_t first = groups.begin * CHANNELS; first < end;
	     first += CHANNELS) {
		size_t channels = conv->out_c - first < CHANNELS ?
				  (size_t)(conv->out_c - first) : CHANNELS;
		bool all = channels == CHANNELS &&
			   at->pixels == CML_FIELDS * count;
		const uint64_t *words = at->words;
		int8_t *output = at->output + first;
		struct cml_scale scales[CHANNELS];

		for (size_t c = 0; conv->one_product && c < CHANNELS; c++)
			scales[c] = cml_scale_of(at->call, first + c, start);
		for (size_t i = 0; i < at->tiles; i++) {
			int8_t some[PIXELS * CHANNELS];

			one_tile(at, words, weights, count, step, scales, first,
				 all ? output : some,
				 all ? (size_t)conv->out_c : CHANNELS);
			if (!all)
				copy_some(some, at->pixels, channels, output,
					  conv->out_c);
			words += at->pitch;
			output += at->pixels * conv->out_c;
		}
		weights += CHANNELS * patch;
	}
}

CML_IN_A_PAGE(4096) static void four_words(const struct tiles *tiles)
{
	all_channels(tiles, 4, 2);
}

CML_IN_A_PAGE(4096) static void two_words(const struct tiles *tiles)
{
	all_channels(tiles, 2, 4);
}

CML_IN_A_PAGE(4096) static void one_word(const struct tiles *tiles)
{
	all_channels(tiles, 1, 4);
}

/* As many words as the pixels need */
static size_t word_count(size_t pixels)
{
	return pixels > 2 * CML_FIELDS ? 4 : pixels > CML_FIELDS ? 2 : 1;
}

/* Words of up to twelve pixels from @p on. */
static void fill_tile(const struct cml_conv_call *call, uint32_t p,
		      size_t pixels, int8_t *values, uint64_t *words)
{
	const struct cml_conv *conv = call->conv;
	size_t image_size = (size_t)conv->in_h * conv->in_w * conv->in_c;
	size_t patch = cml_conv_patch(conv);
	size_t count = word_count(pixels);
	/* A kernel of 1 x 1 never reads padding. */
	bool in_place = conv->kernel_h == 1 && conv->kernel_w == 1 &&
			patch % BLOCK == 0;
	const int8_t *rows[PIXELS];

	for (size_t i = 0; i < pixels; i++, p++) {
		int32_t line = p / conv->out_w;
		const int8_t *image = call->input +
				      line / conv->out_h * image_size;

		rows[i] = cml_conv_gather(conv, image, line % conv->out_h,
					  p % conv->out_w, in_place, values);
		values += cml_word_round(patch, BLOCK);
	}
	for (size_t i = pixels; i < PIXELS; i++)
		rows[i] = rows[0];
	for (size_t i = 0; i < count; i++)
		fill_words(rows + CML_FIELDS * i, patch, i, count, words);
}

void cml_conv_s8_scalar(const struct cml_conv_call *call)
{
	const struct cml_conv *conv = call->conv;
	size_t room = cml_word_round(cml_conv_patch(conv), BLOCK);
	size_t limit = most_tiles(conv);
	uint64_t *words = call->scratch;
	int8_t *values = (int8_t *)(words + WORDS * room * limit);
	struct tiles tiles = {
		.call = call, .limits = cml_limits_of(conv), .words = words,
		.pitch = WORDS * room,
		/* (batch * out_h * out_w, out_c) */
		.output = call->output +
			  (size_t)call->pixels.begin * conv->out_c,
	};
	uint32_t p = call->pixels.begin;

	while (p < call->pixels.end) {
		size_t left = call->pixels.end - p;

		tiles.pixels = left < PIXELS ? left : PIXELS;
		tiles.tiles = left / PIXELS < limit ? left / PIXELS : limit;
		if (!tiles.tiles)
			tiles.tiles = 1;
		for (size_t i = 0; i < tiles.tiles; i++, p += tiles.pixels)
			fill_tile(call, p, tiles.pixels, values,
				  words + i * tiles.pitch);
		switch (word_count(tiles.pixels)) {
		case 4:
			four_words(&tiles);
			break;
		case 2:
			two_words(&tiles);
			break;
		default:
			one_word(&tiles);
			break;
		}
		tiles.output += tiles.tiles * tiles.pixels * conv->out_c;
	}
}

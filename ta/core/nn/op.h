// SPDX-License-Identifier: Apache-2.0
/*
 * What an operator is to the graph.
 *
 * prepare() is given a node of a model that is not trusted. It checks all
 * that run() will rely on, fills its parameters, and says how much scratch it
 * needs and into how many tiles it falls. run() computes one tile; it cannot
 * fail. Tiles may run in any order and at the same time; the same tile run
 * again writes the same bytes, unless the operator is computed in place.
 *
 * Each operator has a file, op_<name>.c, and a line in op_table.c.
 */
#ifndef CML_OP_H
#define CML_OP_H

#include "graph.h"
#include "quant.h"

/* Where a tensor's elements are. */
enum cml_place {
	CML_PLACE_NONE,		/* not known yet */
	CML_PLACE_ARENA,
	CML_PLACE_MODEL,	/* a constant of the file */
	CML_PLACE_GRAPH,	/* a constant that was computed */
};

struct cml_tensor {
	uint8_t type;		/* enum cml_tflite_type */
	uint8_t rank;
	uint8_t place;
	bool variable;
	int32_t dims[CML_MAX_RANK];	/* outermost first, 1 after rank */
	uint32_t count;		/* elements */
	uint32_t size;		/* bytes */
	/* If it has one scale and one zero point within its type's range. */
	float scale;		/* 0: it has not; else positive and finite */
	int32_t zero_point;
	size_t offset;
};

struct cml_op {
	uint16_t type;		/* index into cml_op_types */
	uint16_t kernel;	/* which of its own */
	uint16_t input_count, output_count;
	uint32_t operands;	/* the first of them: inputs, then outputs */
	uint32_t tiles;
	uint8_t packed_place;	/* of weights in another order; or none */
	uint64_t macs;		/* multiply-accumulates of one run */
	size_t params;
	size_t packed;
};

/* An operator of the model while it is being prepared. */
struct cml_node {
	struct cml_build *build;
	struct cml_op *op;
	struct cml_fb *fb;	/* options are read through it */
	struct cml_tflite_operator tflite;
	uint32_t cpu;		/* enum cml_cpu */
	const char *reason;	/* static text after a refusal */
	size_t scratch;		/* bytes that a tile needs, 0 at first */
	uint64_t macs;		/* 0 at first */
	int32_t in_place;	/* see cml_node_in_place() */
	bool known;		/* the result follows from shapes alone */
	/* Weights to be rearranged: see struct cml_op_type's pack() */
	int32_t packed_input;	/* -1: none */
	size_t packed_size;	/* bytes */
};

/* Types of activations, for the table of what is supported. */
enum cml_types {
	CML_S8 = 1 << 0, CML_S16 = 1 << 1, CML_F32 = 1 << 2, CML_S32 = 1 << 3,
	CML_S64 = 1 << 4, CML_U8 = 1 << 5, CML_BOOL = 1 << 6,
};

#define CML_ANY_COUNT	255
#define CML_ALL_INPUTS	UINT32_MAX

struct cml_op_type {
	const char *name;		/* the schema's */
	int32_t builtin_code;
	uint32_t options_type;		/* 0: it has none */
	int32_t max_version;
	uint32_t types;			/* enum cml_types of its first input */
	/* The first min_inputs have to be there. */
	uint8_t min_inputs, max_inputs;
	uint8_t min_outputs, max_outputs;
	uint32_t empty_inputs;		/* bits: inputs without elements are fine */
	bool has_state;		/* variable inputs are its own: it clears them */
	const char *notes;		/* for docs/operators.md; may be NULL */
	enum cml_status (*prepare)(struct cml_node *node);
	void (*run)(const struct cml_run *run, const struct cml_op *op,
		    uint32_t tile);
	/*
	 * Writes all packed_size bytes of @to, the constant packed_input in the
	 * order that run() wants: once, when everything has been checked.
	 * May be NULL.
	 */
	void (*pack)(const struct cml_op *op, const void *params,
		     const void *from, void *to);
};

/* op_table.c */
extern const struct cml_op_type *const cml_op_types[];
extern const size_t cml_op_type_count;

/* Preparing (node.c) -----------------------------------------------------*/

static inline enum cml_status cml_refuse(struct cml_node *node,
					 enum cml_status status,
					 const char *reason)
{
	node->reason = reason;

	return status;
}

/*
 * Operands. Counts were checked against the type's; inputs are written or
 * constant, and have elements unless the type says otherwise; those that are
 * required are there. NULL: optional, absent.
 */
const struct cml_tensor *cml_node_input(const struct cml_node *node,
					size_t index);
const struct cml_tensor *cml_node_output(const struct cml_node *node,
					 size_t index);
/* Of its type and quantisation alone is made use. NULL: absent. */
const struct cml_tensor *cml_node_intermediate(const struct cml_node *node,
					       size_t index);
/* Elements of an input, if they are known now; else NULL. */
const void *cml_node_constant(const struct cml_node *node, size_t index);
/* As above, and refuses: "operator needs this to be a constant". */
enum cml_status cml_node_need_constant(struct cml_node *node, size_t index,
				       const void **data);

/* CML_MODEL_UNSUPPORTED_TYPE unless both are of this type. */
enum cml_status cml_node_type(struct cml_node *node,
			      const struct cml_tensor *tensor, uint32_t type);
/* The output has the shape that the operator computes. */
enum cml_status cml_node_shape(struct cml_node *node,
			       const struct cml_tensor *output, uint32_t rank,
			       const int32_t *dims);
/*
 * As above, but where the file leaves the shape out (it says a scalar), the
 * output takes this one: converters do not know what custom operators compute.
 */
enum cml_status cml_node_set_shape(struct cml_node *node, size_t output,
				   uint32_t rank, const int32_t *dims);
bool cml_same_shape(const struct cml_tensor *a, const struct cml_tensor *b);
/* It has one scale and zero point. */
enum cml_status cml_node_quantized(struct cml_node *node,
				   const struct cml_tensor *tensor);
/* Both have, and they are equal: elements may be copied as they are. */
enum cml_status cml_node_same_quantization(struct cml_node *node,
					   const struct cml_tensor *a,
					   const struct cml_tensor *b);

/*
 * Quantisation by channel, of a constant: @scales[i] for i below @count. One
 * scale for all is repeated. Each is positive and finite, zero points are 0,
 * and the axis is @axis.
 */
enum cml_status cml_node_channel_scales(struct cml_node *node, size_t input,
					int32_t axis, uint32_t count,
					float *scales);

/* The scales of an input as they stand in the file, of zero points 0. */
enum cml_status cml_node_scales(struct cml_node *node, size_t input,
				struct cml_fb_vector *scales);

/*
 * Bytes of the graph for the operator's own use, zeroed, 16-byte aligned; at
 * most once a node. CML_NO_MEMORY, CML_MODEL_LIMIT.
 */
enum cml_status cml_node_params(struct cml_node *node, size_t size,
				void **params);
/* Memory for the time of prepare() only, at most once a node; not zeroed. */
enum cml_status cml_node_temporary(struct cml_node *node, size_t size,
				   void **memory);

/*
 * Allows output 0 to lie where input @index is, if nothing else needs that
 * any more. Kernels then read an element before they write it, and write no
 * other that a later one is computed from.
 */
static inline void cml_node_in_place(struct cml_node *node, size_t index)
{
	node->in_place = index;
}

/*
 * Splits @units pieces of work of about @unit_cost elements into tiles that
 * are worth a worker's while; run() gets its share by cml_tile().
 */
void cml_node_tiles(struct cml_node *node, uint32_t units, uint64_t unit_cost);

/* Running ----------------------------------------------------------------*/

struct cml_range {
	uint32_t begin, end;
};

/* The share of @tile in @units. */
static inline struct cml_range cml_tile(const struct cml_op *op, uint32_t tile,
					uint32_t units)
{
	return (struct cml_range){
		.begin = (uint64_t)units * tile / op->tiles,
		.end = (uint64_t)units * (tile + 1) / op->tiles,
	};
}

/* NULL: optional, absent */
const struct cml_tensor *cml_op_input(const struct cml_run *run,
				      const struct cml_op *op, size_t index);
const struct cml_tensor *cml_op_output(const struct cml_run *run,
				       const struct cml_op *op, size_t index);
/* Elements; NULL: optional, absent */
const void *cml_op_in(const struct cml_run *run, const struct cml_op *op,
		      size_t index);
void *cml_op_out(const struct cml_run *run, const struct cml_op *op,
		 size_t index);
const void *cml_op_params(const struct cml_run *run, const struct cml_op *op);
/* What pack() made. */
const void *cml_op_packed(const struct cml_run *run, const struct cml_op *op);

#endif /* CML_OP_H */

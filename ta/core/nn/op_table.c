// SPDX-License-Identifier: Apache-2.0
/* Every operator, by the schema's name. */
#include "op.h"

#define CML_ALL_OPS(X) \
	X(abs) \
	X(add) \
	X(add_n) \
	X(arg_max) \
	X(arg_min) \
	X(average_pool_2d) \
	X(batch_matmul) \
	X(batch_to_space_nd) \
	X(broadcast_to) \
	X(cast) \
	X(ceil) \
	X(concatenation) \
	X(conv_2d) \
	X(cos) \
	X(cumsum) \
	X(depth_to_space) \
	X(depthwise_conv_2d) \
	X(dequantize) \
	X(detection_postprocess) \
	X(div) \
	X(elu) \
	X(embedding_lookup) \
	X(equal) \
	X(exp) \
	X(expand_dims) \
	X(fill) \
	X(floor) \
	X(floor_div) \
	X(floor_mod) \
	X(fully_connected) \
	X(gather) \
	X(gather_nd) \
	X(gelu) \
	X(greater) \
	X(greater_equal) \
	X(hard_swish) \
	X(l2_normalization) \
	X(l2_pool_2d) \
	X(leaky_relu) \
	X(less) \
	X(less_equal) \
	X(log) \
	X(log_softmax) \
	X(logical_and) \
	X(logical_not) \
	X(logical_or) \
	X(logistic) \
	X(max_pool_2d) \
	X(maximum) \
	X(mean) \
	X(minimum) \
	X(mirror_pad) \
	X(mul) \
	X(neg) \
	X(not_equal) \
	X(one_hot) \
	X(pack) \
	X(pad) \
	X(padv2) \
	X(pow) \
	X(prelu) \
	X(quantize) \
	X(range) \
	X(rank) \
	X(reduce_all) \
	X(reduce_any) \
	X(reduce_max) \
	X(reduce_min) \
	X(reduce_prod) \
	X(relu) \
	X(relu6) \
	X(relu_0_to_1) \
	X(relu_n1_to_1) \
	X(reshape) \
	X(resize_bilinear) \
	X(resize_nearest_neighbor) \
	X(reverse_v2) \
	X(rnn) \
	X(round) \
	X(rsqrt) \
	X(select) \
	X(select_v2) \
	X(shape) \
	X(sign) \
	X(sin) \
	X(slice) \
	X(softmax) \
	X(space_to_batch_nd) \
	X(space_to_depth) \
	X(split) \
	X(split_v) \
	X(sqrt) \
	X(square) \
	X(squared_difference) \
	X(squeeze) \
	X(strided_slice) \
	X(sub) \
	X(sum) \
	X(svdf) \
	X(tanh) \
	X(tile) \
	X(topk_v2) \
	X(transpose) \
	X(transpose_conv) \
	X(unidirectional_sequence_lstm) \
	X(unidirectional_sequence_rnn) \
	X(unpack) \
	X(zeros_like)

#define DECLARE(name) extern const struct cml_op_type cml_op_ ## name;
CML_ALL_OPS(DECLARE)

#define ENTRY(name) &cml_op_ ## name,
const struct cml_op_type *const cml_op_types[] = {
	CML_ALL_OPS(ENTRY)
};

const size_t cml_op_type_count = sizeof(cml_op_types) /
				 sizeof(cml_op_types[0]);

/* Loads a model, runs it once on zeros, and prints the first numbers of each output. Plain C.
   SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "moka/predictor/moka.h"

/* Prints what went wrong and frees it; true when something did. */
static int failed(moka_status* status) {
  if (!status) return 0;
  fprintf(stderr, "error %d: %s\n", (int)moka_status_code(status), moka_status_message(status));
  moka_status_free(status);
  return 1;
}

int main(int argc, char** argv) {
  moka_predictor* predictor = NULL;
  moka_port port = MOKA_INIT(moka_port);
  moka_tensor input = MOKA_INIT(moka_tensor), output = MOKA_INIT(moka_tensor);
  int64_t shape[8], count = 1;
  int code = 1;

  if (argc != 2) {
    fprintf(stderr, "usage: run_model MODEL.moka\n");
    return 2;
  }
  if (failed(moka_predictor_load(argv[1], NULL, &predictor))) return 1;
  if (failed(moka_predictor_input(predictor, 0, &port))) goto done;
  if (moka_predictor_input_count(predictor) != 1 || port.ndim < 0 || port.ndim > 8 || port.dtype.bits == 0) {
    fprintf(stderr, "this example runs models with one input of known rank\n");
    goto done;
  }
  for (int32_t d = 0; d < port.ndim; d++) {
    shape[d] = port.shape[d] < 0 ? 1 : port.shape[d]; /* free sizes: one row */
    count *= shape[d];
  }
  input.data = calloc((size_t)count, port.dtype.bits / 8);
  input.dtype = port.dtype;
  input.ndim = port.ndim;
  input.shape = shape;
  if (!input.data || failed(moka_predictor_run(predictor, &input, 1, &output, 1, NULL))) goto done;

  failed(moka_predictor_output(predictor, 0, &port));
  printf("%s:", port.name);
  count = 1;
  for (int32_t d = 0; d < output.ndim; d++) count *= output.shape[d];
  for (int64_t i = 0; i < count && i < 10; i++)
    if (output.dtype.kind == MOKA_FLOAT && output.dtype.bits == 32) printf(" %g", ((float*)output.data)[i]);
  printf("\n");
  code = 0;

done:
  free(input.data);
  moka_tensor_release(&output);
  moka_predictor_free(predictor);
  return code;
}

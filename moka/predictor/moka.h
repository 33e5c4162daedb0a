/* The C interface of Moka's predictor: load a model, run it from any number of threads, free it.
   SPDX-License-Identifier: Apache-2.0

   Rules that hold everywhere:
   - Functions that can fail return a moka_status*: NULL is success; anything else describes the error and is
     freed with moka_status_free. No function throws, aborts or prints.
   - Structs begin with struct_size, which the caller sets to sizeof of the struct (MOKA_INIT does): a library
     that is newer than the header a program was compiled with sees which members that program knows.
   - Texts are UTF-8 and end with NUL. What a function returns as const belongs to the object it was asked
     for. */
#ifndef MOKA_PREDICTOR_MOKA_H
#define MOKA_PREDICTOR_MOKA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MOKA_API __attribute__((visibility("default")))
#else
#define MOKA_API
#endif

/* The interface that this header describes. Within one major version functions and members are only added. */
#define MOKA_C_MAJOR 1
#define MOKA_C_MINOR 0
/* A struct with struct_size set and everything else zero: moka_tensor input = MOKA_INIT(moka_tensor); */
#ifdef __cplusplus
#define MOKA_INIT(type)           \
  [] {                            \
    type t{};                     \
    t.struct_size = sizeof(type); \
    return t;                     \
  }()
#else
#define MOKA_INIT(type) {.struct_size = sizeof(type)}
#endif

MOKA_API const char* moka_version(void);     /* of the library: "0.1.0" */
MOKA_API int32_t moka_c_major(void);         /* of the interface that the library serves */
MOKA_API int32_t moka_c_minor(void);

/* ---- errors */

typedef enum moka_code {
  MOKA_OK = 0,
  MOKA_ERROR_RUNTIME = 1,         /* shapes and values that do not fit together */
  MOKA_ERROR_VALUE = 2,           /* an argument outside its range */
  MOKA_ERROR_TYPE = 3,            /* an argument of the wrong type */
  MOKA_ERROR_INDEX = 4,           /* an index out of range */
  MOKA_ERROR_NOT_IMPLEMENTED = 5, /* valid, but nothing in this library serves it */
  MOKA_ERROR_OUT_OF_MEMORY = 6,
  MOKA_ERROR_FILE = 7,            /* a file that cannot be read or understood */
  MOKA_ERROR_CANCELLED = 8,       /* the deadline passed */
  MOKA_ERROR_INTERNAL = 9         /* a bug in Moka: please report it */
} moka_code;

typedef struct moka_status moka_status;
MOKA_API moka_code moka_status_code(const moka_status* status);       /* NULL: MOKA_OK */
MOKA_API const char* moka_status_message(const moka_status* status);  /* NULL: "" */
MOKA_API void moka_status_free(moka_status* status);                  /* NULL is allowed */

/* ---- tensors */

/* Element types as DLPack writes them (dlpack.h 1.1): kind, bits of one element, lanes (always 1). */
typedef enum moka_dtype_kind {
  MOKA_INT = 0,
  MOKA_UINT = 1,
  MOKA_FLOAT = 2,
  MOKA_BFLOAT = 4,
  MOKA_COMPLEX = 5,
  MOKA_BOOL = 6
} moka_dtype_kind;

typedef struct moka_dtype {
  uint8_t kind; /* moka_dtype_kind */
  uint8_t bits;
  uint16_t lanes;
} moka_dtype;

/* A tensor in the memory of the CPU. As an input it only describes memory of the caller, who keeps it alive and
   unchanged during the call. As an output it is filled by the library, and moka_tensor_release gives its memory
   back. */
typedef struct moka_tensor {
  size_t struct_size;
  void* data;             /* first element; may be NULL when there are no elements */
  moka_dtype dtype;
  int32_t ndim;
  const int64_t* shape;   /* ndim sizes */
  const int64_t* strides; /* ndim steps in elements; NULL, as in outputs: row-major without gaps */
  void* owner;            /* set by the library in outputs; NULL in inputs */
} moka_tensor;

/* Gives an output's memory back; harmless on anything without an owner. */
MOKA_API void moka_tensor_release(moka_tensor* tensor);

/* ---- predictors */

typedef struct moka_predictor moka_predictor;

typedef struct moka_load_options {
  size_t struct_size;
  int32_t optimize;   /* 1: rewrite the graph for speed, as without options; 0: run it as it is */
  uint64_t max_bytes; /* refuse files beyond this size; 0: the library's limit */
  const char* code_key; /* file with the key whose mark compiled code in packages must carry to be run;
                           NULL or "": MOKA_CODE_KEY names it, and without one no such code is run */
} moka_load_options;

/* Reads a .moka package or an ONNX model, whichever the content is. `options` may be NULL. */
MOKA_API moka_status* moka_predictor_load(const char* path, const moka_load_options* options,
                                          moka_predictor** predictor);
/* The same from memory, which is copied. ONNX models with external data need moka_predictor_load. */
MOKA_API moka_status* moka_predictor_load_bytes(const void* data, size_t size,
                                                const moka_load_options* options, moka_predictor** predictor);
/* Reads the pair of files that Caffe2 writes. */
MOKA_API moka_status* moka_predictor_load_netdef(const char* init_path, const char* predict_path,
                                                 const moka_load_options* options,
                                                 moka_predictor** predictor);
/* No call may be running. NULL is allowed. */
MOKA_API void moka_predictor_free(moka_predictor* predictor);

/* What a model takes or gives. */
typedef struct moka_port {
  size_t struct_size;
  const char* name;
  moka_dtype dtype;     /* bits 0: the model does not say */
  int32_t ndim;         /* -1: the model does not say */
  const int64_t* shape; /* -1 where a size is free */
} moka_port;

MOKA_API size_t moka_predictor_input_count(const moka_predictor* predictor);
MOKA_API size_t moka_predictor_output_count(const moka_predictor* predictor);
MOKA_API moka_status* moka_predictor_input(const moka_predictor* predictor, size_t index, moka_port* port);
MOKA_API moka_status* moka_predictor_output(const moka_predictor* predictor, size_t index, moka_port* port);

typedef struct moka_run_options {
  size_t struct_size;
  double deadline_seconds; /* from now; the run stops with MOKA_ERROR_CANCELLED. 0: none */
} moka_run_options;

/* Runs the model on `input_count` inputs, in the model's order, and fills `output_count` outputs, at most as
   many as the model has. Any number of threads may run one predictor at the same time; weights are shared.
   `options` may be NULL.
   After an error no output needs releasing. */
MOKA_API moka_status* moka_predictor_run(moka_predictor* predictor, const moka_tensor* inputs,
                                         size_t input_count, moka_tensor* outputs, size_t output_count,
                                         const moka_run_options* options);

/* Threads that all runs of this process share; the default is the number of cores that it may use. */
MOKA_API moka_status* moka_set_num_threads(int32_t threads);
MOKA_API int32_t moka_num_threads(void);

#ifdef __cplusplus
}
#endif

#endif

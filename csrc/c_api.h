/* The log-mel front end and exact nearest-neighbour search for hosts that are not Python: a plain C interface over the
 * kernels of the Python package, with the same results bit for bit. Build it with `make capi`.
 *
 * Functions that can fail say so by their result; engine_last_error() then gives one sentence: what was expected, what
 * was got, what to do. Front ends may be used from many threads at once. Nothing is printed and nothing is global but
 * the choice of instruction set, made at the first call (the environment variable ENGINE_ISA forces one).
 */
#ifndef SOUND_ENGINE_C_API_H
#define SOUND_ENGINE_C_API_H

#include <stdint.h>

#if defined(_WIN32)
#define ENGINE_API __declspec(dllexport)
#else
#define ENGINE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Compare with engine_abi_version(): they differ when header and library do not belong together. */
#define ENGINE_ABI_VERSION 1

enum engine_window {
  ENGINE_WINDOW_HANN = 0,
  ENGINE_WINDOW_HAMMING = 1,
  ENGINE_WINDOW_POVEY = 2,
  ENGINE_WINDOW_BLACKMAN = 3,
  ENGINE_WINDOW_RECTANGULAR = 4
};
enum engine_framing {
  ENGINE_FRAMING_CENTER = 0,
  ENGINE_FRAMING_CENTER_TRIMMED = 1,
  ENGINE_FRAMING_VALID = 2,
  ENGINE_FRAMING_MIRROR = 3
};
enum engine_mel_scale { ENGINE_MEL_HTK = 0, ENGINE_MEL_SLANEY = 1, ENGINE_MEL_KALDI = 2 };
enum engine_mel_norm { ENGINE_MEL_NORM_NONE = 0, ENGINE_MEL_NORM_SLANEY = 1 };
enum engine_log { ENGINE_LOG_LN = 0, ENGINE_LOG_LOG10 = 1, ENGINE_LOG_DB = 2 };
enum engine_metric {
  ENGINE_METRIC_COSINE = 0,
  ENGINE_METRIC_SQUARED_EUCLIDEAN = 1,
  ENGINE_METRIC_EUCLIDEAN = 2,
  ENGINE_METRIC_INNER_PRODUCT = 3
};

/* The fields of the Python class engine.FrontendConfig, which documents them. Lengths in samples, frequencies in Hz,
 * switches 0 or 1. The arrays are copied by engine_log_mel_create. */
typedef struct engine_log_mel_options {
  int sample_rate;
  int win_length;
  int hop_length;
  int n_fft;
  int n_mels;
  double f_min;
  double f_max;
  int window; /* enum engine_window */
  int window_periodic;
  const double* window_values; /* win_length values instead of a named window, or NULL */
  int framing;                 /* enum engine_framing */
  int pad_reflect;             /* framing center: 1 reflects at the edges, 0 pads with zeros */
  double preemphasis;
  int preemphasis_of_clip; /* 1: of the whole input, 0: inside each frame */
  int remove_dc;
  int remove_clip_mean;
  double input_scale;
  int magnitude; /* 0: power */
  int mel_scale; /* enum engine_mel_scale */
  int mel_norm;  /* enum engine_mel_norm */
  int log;       /* enum engine_log */
  double log_floor;
  double log_offset;
  double log_reference;
  int log_reference_max; /* 1: the input's largest value instead of log_reference */
  double log_range;      /* 0: no limit */
  const double* mean;    /* n_mels values, or NULL together with std */
  const double* std;
  int zscore;
} engine_log_mel_options;

typedef struct engine_log_mel engine_log_mel;

ENGINE_API int engine_abi_version(void);

/* The instruction set in use, "baseline", "neon", "avx2", "avx512" or "avx512vnni"; NULL when ENGINE_ISA names one that
 * is not there. */
ENGINE_API const char* engine_isa(void);

/* Why the last call of this thread failed; valid until the next one that fails. */
ENGINE_API const char* engine_last_error(void);

/* Fills in 16 kHz, 25 ms windows every 10 ms, n_fft 512, 64 HTK mel bands, natural logarithm. */
ENGINE_API void engine_log_mel_defaults(engine_log_mel_options* options);

/* A front end, to be given back to engine_log_mel_destroy; NULL when an option is out of range. */
ENGINE_API engine_log_mel* engine_log_mel_create(const engine_log_mel_options* options);
ENGINE_API void engine_log_mel_destroy(engine_log_mel* front_end);

/* How many frames n_samples give. */
ENGINE_API int64_t engine_log_mel_frames(const engine_log_mel* front_end, int64_t n_samples);

/* Writes frames x n_mels values, row after row, to `out`. Returns 0, or -1 when a sample is not a finite number or so
 * large that its square is not; `out` then holds no meaning. */
ENGINE_API int engine_log_mel_compute(const engine_log_mel* front_end, const float* samples, int64_t n_samples,
                                      float* out, int n_threads);

/* The k nearest of n_rows database rows for each of n_queries queries, rows of `dimension` floats one after the other:
 * nearest first, of equal distances the lower index first. Writes n_queries x k indices and distances (for the inner
 * product the largest products); places without a row hold -1 and infinity. Returns 0, or -1 for a row that is not
 * finite or a size below 0. */
ENGINE_API int engine_top_k(const float* queries, int64_t n_queries, const float* database, int64_t n_rows,
                            int64_t dimension, int64_t k, int metric, int n_threads, int64_t* indices,
                            double* distances);

#ifdef __cplusplus
}
#endif

#endif

/* The engine's kernels from C: the log-mel spectrogram of a rising tone, and the frames most like its first one.
 *
 *   make capi
 *   cc -std=c99 -I csrc examples/c/log_mel.c -L build -lsound_engine -Wl,-rpath,build -lm -o build/log_mel
 *   build/log_mel
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "c_api.h"

static void stop(const char* what) {
  fprintf(stderr, "%s: %s\n", what, engine_last_error());
  exit(1);
}

int main(void) {
  enum { kSamples = 16000, kNearest = 3 };
  engine_log_mel_options options;
  engine_log_mel* front_end;
  float* samples = malloc(kSamples * sizeof(float));
  int64_t frames, nearest[kNearest];
  double distances[kNearest];
  float* log_mel;
  int i;

  if (engine_abi_version() != ENGINE_ABI_VERSION) {
    fprintf(stderr, "expected a library of version %d, got %d: build both anew\n", ENGINE_ABI_VERSION, engine_abi_version());
    return 1;
  }
  /* One second that rises from 200 Hz to 2200 Hz. */
  for (i = 0; i < kSamples; i++) {
    const double t = i / 16000.0;
    samples[i] = (float)(0.5 * sin(6.283185307179586 * (200.0 * t + 1000.0 * t * t)));
  }

  engine_log_mel_defaults(&options);
  front_end = engine_log_mel_create(&options);
  if (front_end == NULL) stop("front end");
  frames = engine_log_mel_frames(front_end, kSamples);
  log_mel = malloc((size_t)frames * options.n_mels * sizeof(float));
  if (engine_log_mel_compute(front_end, samples, kSamples, log_mel, 1) != 0) stop("log-mel");

  printf("%s: %d frames of %d bands\n", engine_isa(), (int)frames, options.n_mels);
  for (i = 0; i < frames; i += 20) {
    int m, loudest = 0;
    for (m = 1; m < options.n_mels; m++)
      if (log_mel[i * options.n_mels + m] > log_mel[i * options.n_mels + loudest]) loudest = m;
    printf("%.2f s: loudest band %d\n", i * options.hop_length / (double)options.sample_rate, loudest);
  }

  if (engine_top_k(log_mel, 1, log_mel, frames, options.n_mels, kNearest, ENGINE_METRIC_COSINE, 1, nearest, distances) != 0)
    stop("search");
  for (i = 0; i < kNearest; i++) printf("frame %d at cosine distance %.6f\n", (int)nearest[i], distances[i]);

  engine_log_mel_destroy(front_end);
  free(log_mel);
  free(samples);
  return 0;
}

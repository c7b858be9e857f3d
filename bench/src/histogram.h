/* Quantiles of nanoseconds, with a relative error under 2 %. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>

enum { STEPS = 64, BUCKETS = 40 * STEPS };

typedef struct {
    long counts[BUCKETS], count;
    uint64_t greatest;
} Histogram;

static inline int bucket_of(uint64_t value) {
    if (value < STEPS) return (int)value;
    int shift = 63 - __builtin_clzll(value) - 5;
    int bucket = shift * (STEPS / 2) + (int)(value >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static inline double middle_of(int bucket) {
    if (bucket < STEPS) return bucket;
    int shift = bucket / (STEPS / 2) - 1;
    return (bucket - shift * (STEPS / 2) + 0.5) * (double)(1ull << shift);
}

static inline void record(Histogram *h, uint64_t value) {
    h->counts[bucket_of(value)]++;
    h->count++;
    if (value > h->greatest) h->greatest = value;
}

static inline double quantile(const Histogram *h, double share) {
    long wanted = (long)ceil(share * (double)h->count), seen = 0;
    for (int i = 0; i < BUCKETS && wanted; i++)
        if ((seen += h->counts[i]) >= wanted) return middle_of(i);
    return 0;
}

/* As a member of a JSON object, in milliseconds. */
static inline void print_histogram(const char *name, const Histogram *h) {
    printf(",\"%s\":{\"count\":%ld,\"p50\":%.4f,\"p99\":%.4f,\"max\":%.4f}", name, h->count, quantile(h, .5) / 1e6,
           quantile(h, .99) / 1e6, (double)h->greatest / 1e6);
}
